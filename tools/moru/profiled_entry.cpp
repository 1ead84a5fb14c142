#include "tools/moru/profiled_entry.h"

#include "tools/moru/commands.h"

namespace moru::cli {
namespace {

ProfiledEntry measure(ProfiledProgram profiled, const std::string& entry_name,
                      const std::map<std::string, int64_t>& sizes, const std::vector<SavedTensor>& tensors, int threads,
                      double seconds) {
  const std::unique_ptr<Session> session = need(Session::create(profiled.program, {.threads = threads}));
  bind_all(*session, tensors);
  const uint32_t entry = *profiled.program->find_entry(entry_name);
  ProfiledEntry out;
  out.symbols = {sizes.begin(), sizes.end()};
  out.symbols["workers"] = threads;
  out.kernels = profile_kernels(
      profiled.compiled.lowered.kernels, entry_name, out.symbols, profiled.code->profile(),
      [&] { need(session->run(entry)); }, seconds, measure_roofline(profiled.compiled.target));
  out.compiled = std::move(profiled.compiled);
  return out;
}

}  // namespace

void bind_all(Session& session, const std::vector<SavedTensor>& tensors) {
  for (const SavedTensor& tensor : tensors)
    need(session.bind(*session.program().find_slot(tensor.name), tensor.bytes.data(), tensor.shape));
}

ProfiledEntry profile_entry(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                            const std::string& entry, const std::map<std::string, int64_t>& sizes,
                            const std::vector<SavedTensor>& tensors, int threads, double seconds) {
  return measure(make_profiled_program(source, flags, prepared, threads), entry, sizes, tensors, threads, seconds);
}

ProfiledEntry profile_entry(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                            const std::string& entry, const OpenSizes& open, int threads, double seconds) {
  ProfiledProgram profiled = make_profiled_program(source, flags, prepared, threads);
  const std::map<std::string, int64_t> sizes = bind_symbols(*profiled.program, open);
  const std::vector<SavedTensor> tensors = random_tensors(*profiled.program, entry, sizes, 0);
  return measure(std::move(profiled), entry, sizes, tensors, threads, seconds);
}

}  // namespace moru::cli
