// The files of one folder over HTTP, for pages that load modules.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>

namespace moru::test {

class FileServer {
 public:
  explicit FileServer(std::string folder)
      : folder_(std::move(folder)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::getsockname(listener_, generic, &size) != 0 ||
        ::listen(listener_, 16) != 0)
      throw std::runtime_error("cannot serve files");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const int connection = ::accept(listener_, nullptr, nullptr);
        if (connection < 0) return;
        answer(connection);
        ::close(connection);
      }
    });
  }
  ~FileServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;

  std::string url(const std::string& file) const { return "http://127.0.0.1:" + std::to_string(port_) + "/" + file; }

 private:
  static std::string type_of(const std::string& file) {
    const std::string ending = std::filesystem::path(file).extension().string();
    return ending == ".html"   ? "text/html"
           : ending == ".mjs"  ? "text/javascript"
           : ending == ".wasm" ? "application/wasm"
                               : "text/plain";
  }

  void answer(int connection) const {
    std::string in;
    char buffer[4096];
    while (in.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(connection, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      in.append(buffer, static_cast<size_t>(n));
    }
    // "GET /name HTTP/1.1"
    const size_t begin = in.find('/'), end = in.find(' ', begin);
    const std::string name =
        begin == std::string::npos || end == std::string::npos ? "" : in.substr(begin + 1, end - begin - 1);
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    const bool found = !name.empty() && name.find('/') == std::string::npos && file.good();
    const std::string body = found ? std::string(std::istreambuf_iterator<char>(file), {}) : "";
    std::string out = std::string("HTTP/1.1 ") + (found ? "200 OK" : "404 Not Found") +
                      "\r\nContent-Type: " + type_of(name) + "\r\nContent-Length: " + std::to_string(body.size()) +
                      "\r\nConnection: close\r\n\r\n" + body;
    for (size_t sent = 0; sent < out.size();) {
      const ssize_t n = ::send(connection, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  }

  std::string folder_;
  int listener_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace moru::test
