// A headless Chromium, driven through chromedriver (W3C WebDriver over HTTP).
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/runtime/temporary_directory.h"

extern char** environ;

namespace moru::test {

/// The place of a program in PATH, or empty.
inline std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string folders = path == nullptr ? "" : path;
  for (size_t begin = 0; begin <= folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string file = folders.substr(begin, end - begin) + "/" + name;
    if (::access(file.c_str(), X_OK) == 0) return file;
    begin = end + 1;
  }
  return {};
}

class Browser {
 public:
  using Json = nlohmann::json;

  static bool is_installed() { return !find_program("chromium").empty() && !find_program("chromedriver").empty(); }

  Browser() {
    port_ = find_free_port();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int stream : {1, 2}) posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
    std::string program = find_program("chromedriver"), port = "--port=" + std::to_string(port_);
    char* arguments[] = {program.data(), port.data(), nullptr};
    const int error = ::posix_spawn(&driver_, program.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start chromedriver");
    for (int attempt = 0;; ++attempt) {
      const int connection = connect();
      if (connection >= 0) ::close(connection);
      if (connection >= 0) break;
      if (attempt == 300) throw std::runtime_error("chromedriver does not answer");
      ::usleep(100'000);
    }
    const Json options = {
        {"binary", find_program("chromium")},
        {"args",
         {"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
          "--force-device-scale-factor=1", "--user-data-dir=" + (directory_ / "profile")}}};
    const Json wanted = {{"capabilities",
                          {{"alwaysMatch",
                            {{"browserName", "chrome"},
                             {"goog:chromeOptions", options},
                             {"goog:loggingPrefs", {{"browser", "ALL"}}}}}}}};
    session_ = "/session/" + request("POST", "/session", wanted).at("sessionId").get<std::string>();
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;
  ~Browser() {
    try {
      if (!session_.empty()) request("DELETE", session_);
    } catch (const std::exception&) {
    }
    if (driver_ > 0) {
      ::kill(driver_, SIGTERM);
      ::waitpid(driver_, nullptr, 0);
    }
  }

  /// Sets the viewport and the colour scheme, then loads the file anew.
  void open(const std::string& file, int width, int height, bool dark) {
    chrome("Emulation.setDeviceMetricsOverride",
           {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
    chrome("Emulation.setEmulatedMedia",
           {{"features", {{{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}}}}});
    visit("file://" + std::filesystem::absolute(file).string());
    // Observers of sizes fire behind the first frame.
    run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))));");
  }
  void visit(const std::string& url) { request("POST", session_ + "/url", {{"url", url}}); }
  /// What a JavaScript function body returns, waited for where it is a promise.
  Json run(const std::string& script) {
    return request("POST", session_ + "/execute/sync", {{"script", script}, {"args", Json::array()}});
  }
  /// Messages of the console since the last call, warnings and errors among them.
  std::vector<std::string> console() {
    std::vector<std::string> messages;
    for (const Json& entry : request("POST", session_ + "/se/log", {{"type", "browser"}}))
      messages.push_back(entry.at("level").get<std::string>() + ": " + entry.at("message").get<std::string>());
    return messages;
  }
  /// Presses the mouse at one point of the viewport and lets go of it at another.
  void drag(int x1, int y1, int x2, int y2) {
    const auto move = [](int x, int y, int ms) {
      return Json{{"type", "pointerMove"}, {"duration", ms}, {"x", x}, {"y", y}, {"origin", "viewport"}};
    };
    request("POST", session_ + "/actions",
            {{"actions",
              {{{"type", "pointer"},
                {"id", "mouse"},
                {"parameters", {{"pointerType", "mouse"}}},
                {"actions",
                 {move(x1, y1, 0),
                  {{"type", "pointerDown"}, {"button", 0}},
                  move((x1 + x2) / 2, y2, 50),
                  move(x2, y2, 50),
                  {{"type", "pointerUp"}, {"button", 0}}}}}}}});
  }
  /// The whole page as a PNG, its bytes in base64.
  std::string screenshot() {
    const Json size = run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight];");
    return chrome("Page.captureScreenshot",
                  {{"captureBeyondViewport", true},
                   {"clip", {{"x", 0}, {"y", 0}, {"width", size[0]}, {"height", size[1]}, {"scale", 1}}}})
        .at("data");
  }

 private:
  Json chrome(const std::string& command, const Json& parameters) {
    return request("POST", session_ + "/goog/cdp/execute", {{"cmd", command}, {"params", parameters}});
  }

  static sockaddr_in local_address(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  static int find_free_port() {
    const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = local_address(0);
    socklen_t size = sizeof address;
    const bool found = ::bind(probe, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                       ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(probe);
    if (!found) throw std::runtime_error("no free port for chromedriver");
    return ntohs(address.sin_port);
  }

  /// A connection to chromedriver, or -1.
  int connect() const {
    const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = local_address(port_);
    if (::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return connection;
    ::close(connection);
    return -1;
  }

  Json request(const std::string& method, const std::string& path, const Json& body = Json::object()) {
    const int connection = connect();
    if (connection < 0) throw std::runtime_error("cannot reach chromedriver");
    const std::string text = body.dump();
    std::string out = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    if (method == "POST")
      out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) + "\r\n";
    out += "\r\n" + (method == "POST" ? text : std::string());
    for (size_t sent = 0; sent < out.size();) {
      const ssize_t n = ::send(connection, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    // chromedriver keeps connections open: the answer ends where its head says.
    std::string in;
    std::vector<char> buffer(1 << 16);
    const auto is_whole = [&] {
      const size_t end = in.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      std::string names = in.substr(0, end);
      for (char& c : names) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      const size_t length = names.find("content-length:");
      return length != std::string::npos &&
             in.size() >= end + 4 + std::strtoul(names.c_str() + length + 15, nullptr, 10);
    };
    while (!is_whole()) {
      const ssize_t n = ::recv(connection, buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      in.append(buffer.data(), static_cast<size_t>(n));
    }
    ::close(connection);
    const size_t head = in.find("\r\n\r\n");
    const Json answer = head == std::string::npos ? Json() : Json::parse(in.substr(head + 4), nullptr, false);
    if (!answer.is_object() || !answer.contains("value"))
      throw std::runtime_error("chromedriver answers '" + in.substr(0, 300) + "'");
    const Json& value = answer.at("value");
    if (value.is_object() && value.contains("error") && value.contains("message"))
      throw std::runtime_error(path + ": " + value.at("message").get<std::string>());
    return value;
  }

  TemporaryDirectory directory_;
  pid_t driver_ = -1;
  int port_ = 0;
  std::string session_;
};

}  // namespace moru::test
