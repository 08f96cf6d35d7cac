// Numbers and times in few columns, bars, and lines of the past. All of them pure; UTF-8, or ASCII where asked.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace muproc::mutop {

/// At most 5 columns: "999", "12.3k", "1.2M".
std::string short_count(double count);
/// At most 5 columns, in units of 1024: "512B", "1.5K", "120M", "1.2G".
std::string short_bytes(double bytes);
/// At most 5 columns: "0.0", "12.3", "100", "1200".
std::string short_percent(double percent);
/// At most 5 columns: "12us", "850ms", "5.3s", "12m", "3h10", "42d".
std::string short_time(std::chrono::nanoseconds time);

/// `[||||   ^ ]`: filled up to `fill`, with the high-water mark; both 0 to 1. At least 4 columns.
std::string fill_bar(double fill, double high_water, int width, bool ascii);
/// One column for each of the last values, the latest to the right, from 0 to the highest of them.
std::string sparkline(const std::vector<double>& values, int width, bool ascii);
/// The same over several lines, the topmost first.
std::vector<std::string> plot(const std::vector<double>& values, int width, int height, bool ascii);

}  // namespace muproc::mutop
