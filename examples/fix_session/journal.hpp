// What a session must still know after its process was killed at any instruction: the messages that it has sent, and
// those that it has received in order. One line each, written by one write at the moment that counts: a message is sent
// when its line is there, and received when its line is there. A line that was cut short does not count.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fix {

class Journal {
 public:
  /// Reads what is there; makes it when there is nothing.
  explicit Journal(const std::filesystem::path& file);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// A message to send: of the application, or (empty) of the session itself. Returns its number, counted from 1.
  int add_sent(const std::string& text);
  /// The next number in order has been received: an application's message, or (empty) one of the session.
  void add_received(const std::string& text);

  int next_to_send() const { return static_cast<int>(sent_.size()) + 1; }
  int next_to_receive() const { return static_cast<int>(received_.size()) + 1; }
  const std::string& sent(int number) const { return sent_[static_cast<std::size_t>(number) - 1]; }
  std::vector<std::string> application_sent() const { return of_application(sent_); }
  std::vector<std::string> application_received() const { return of_application(received_); }

 private:
  static std::vector<std::string> of_application(const std::vector<std::string>& all);
  void write(char kind, const std::string& text);

  int fd_;
  std::vector<std::string> sent_, received_;
};

}  // namespace fix
