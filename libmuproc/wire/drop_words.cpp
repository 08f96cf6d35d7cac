#include "wire/drop_words.hpp"

#include "shm/layout.hpp"

namespace muproc::wire {

using shm::Drop;
using shm::RecordKind;

std::string_view drop_word(std::uint32_t drop) {
  switch (static_cast<Drop>(drop)) {
    case Drop::ended: return "ended";
    case Drop::no_name: return "no_name";
    case Drop::call: return "call";
    case Drop::late: return "late";
    case Drop::unread: return "unread";
    case Drop::draining: return "draining";
    case Drop::late_reply: return "late_reply";
    case Drop::in_hand: return "in_hand";
  }
  return "?";
}

std::string_view drop_text(std::uint32_t drop) {
  switch (static_cast<Drop>(drop)) {
    case Drop::ended: return "sent to one that had ended";
    case Drop::no_name: return "sent to a name that nobody had";
    case Drop::call: return "called one that had ended";
    case Drop::late: return "its receiver ended meanwhile";
    case Drop::unread: return "unread when its receiver ended";
    case Drop::draining: return "sent to one that is being drained";
    case Drop::late_reply: return "an answer that nobody waited for";
    case Drop::in_hand: return "in hand when its receiver ended";
  }
  return "?";
}

std::string_view record_word(std::uint32_t kind) {
  switch (static_cast<RecordKind>(kind)) {
    case RecordKind::skip: break;
    case RecordKind::message: return "message";
    case RecordKind::call: return "call";
    case RecordKind::cast: return "cast";
    case RecordKind::reply: return "reply";
    case RecordKind::error: return "error";
  }
  return "?";
}

}  // namespace muproc::wire
