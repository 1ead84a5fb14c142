#include "tools/report/memory_facts.h"

#include <algorithm>

namespace moru {

using Json = nlohmann::ordered_json;

int64_t size_at(const Dim& dim, const Sizes& sizes) {
  return dim.evaluate([&](std::string_view symbol) {
    const auto found = sizes.find(symbol);
    return found == sizes.end() ? int64_t{1} : found->second;
  });
}

Json memory_json(const Lowered& lowered, const Sizes& sizes, std::size_t most_buffers) {
  struct Sum {
    int64_t count = 0, bytes = 0;
  };
  std::map<SlotKind, Sum> kinds;
  for (const Slot& slot : lowered.module.slots) {
    if (slot.kind == SlotKind::input || slot.kind == SlotKind::target || slot.kind == SlotKind::sample_weight ||
        slot.kind == SlotKind::output)
      continue;
    int64_t bytes = dtype_bytes(slot.type.dtype);
    for (const Dim& dim : slot.type.shape) bytes *= size_at(dim, sizes);
    ++kinds[slot.kind].count;
    kinds[slot.kind].bytes += bytes;
  }
  Json json = {{"slots", Json::array()}, {"entries", Json::array()}};
  for (const auto& [kind, sum] : kinds)
    json["slots"].push_back({{"kind", slot_kind_name(kind)}, {"count", sum.count}, {"bytes", sum.bytes}});
  for (std::size_t i = 0; i < lowered.plans.size(); ++i) {
    const Kernel& kernel = lowered.kernels.kernels[i];
    const MemoryPlan& plan = lowered.plans[i];
    struct Place {
      std::string name;
      int64_t bytes, offset;
    };
    std::vector<Place> places;
    int64_t unshared = 0;
    for (const BufferPlace& place : plan.places) {
      places.push_back(
          {kernel.buffers[place.buffer].name, size_at(place.bytes, sizes), size_at(place.offset, sizes)});
      unshared += places.back().bytes;
    }
    std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.bytes > b.bytes; });
    Json buffers = Json::array();
    for (std::size_t k = 0; k < std::min(places.size(), most_buffers); ++k)
      buffers.push_back({{"name", places[k].name}, {"bytes", places[k].bytes}, {"offset", places[k].offset}});
    json["entries"].push_back({{"entry", kernel.entry},
                               {"arena_bytes", size_at(plan.total_bytes, sizes)},
                               {"unshared_bytes", unshared},
                               {"buffer_count", places.size()},
                               {"buffers", std::move(buffers)}});
  }
  return json;
}

}  // namespace moru
