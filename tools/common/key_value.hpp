// Mumsgs as people type them: `cmd=:square x=3`.
//
//     FIELD  NAME=VALUE, or NAME:TYPE=VALUE
//     NAME   a word, or "quoted"
//     VALUE  42                      int                       as JSON writes numbers
//            2.5, -1e9               float
//            true, false             bool
//            nil                     nil
//            :square, :"two words"   symbol
//            "two words"             text; \" \\ \n \r \t \xNN inside
//            [1, two, :three]        list
//            {a=1, b=[]}             mumsg
//            <0.3.1>                 pid
//            <<00ff>>                data, in hex
//            anything else           text, as it stands: to the end of the word, in a list to the next , ] or }
//     TYPE   nil, bool, int, float, symbol, text, data, list, mumsg, pid: the value is read as that and nothing else,
//            s:text=42, n:int=0x2a, d:data=00ff, x:float=inf
//
// Pure: text in, values out. What `format` writes, the parser reads back to equal values, but for Cap'n Proto structs and
// reasons, which become text, and floats that are no numbers inside of lists.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <muproc/value.hpp>

namespace muproc::tools {

/// Names the word and says what is wrong with it.
struct KeyValueError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One word each: a field. Throws KeyValueError; also when a name comes twice.
Mumsg parse_fields(std::span<const std::string> words);
/// One value without a name. Throws KeyValueError.
Value parse_value(std::string_view text);

/// `cmd=:square x=3`: one line, printable.
std::string format(const Mumsg& mumsg);
std::string format(const Value& value);

}  // namespace muproc::tools
