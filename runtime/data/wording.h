// How the data part words its errors: quoted cells, lists of names, "did you mean". Messages end in a line
// "  hint: ..." that says what to do.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "runtime/status.h"

namespace moru {

/// The user's data or recipe is at fault.
Status data_error(std::string message, StatusCode code = StatusCode::invalid_argument);

/// The name nearest to `name` in edits, ignoring case, where it is near enough to be a slip; otherwise empty.
std::string find_nearest(std::string_view name, std::span<const std::string> names);

/// "a, b, c", cut after `limit` names with a count of the rest.
std::string list_names(std::span<const std::string> names, std::size_t limit = 12);

/// "did you mean 'x'?" where a near name exists, else "the <what> are: a, b, c".
std::string suggest_name(std::string_view name, std::span<const std::string> names, std::string_view what);

/// A cell as it stands in a message: in quotes, cut after 40 bytes.
std::string quote_cell(std::string_view cell);

/// "0xB0".
std::string hex_byte(char byte);

/// The shortest text that reads back as the same number.
std::string number_text(double value);
/// The same in at most so many significant digits; NaN has no sign.
std::string number_text(double value, int digits);

}  // namespace moru
