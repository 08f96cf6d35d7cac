# The help texts of a program's verbs as a part of a man page, on standard output. Its input is what `PROGRAM VERB --help`
# prints, for each verb, after a line "@ VERB".

function escape(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  return text
}
function put(text) { print (text ~ /^[.'\'']/ ? "\\&" : "") text }

# Lines of a description that were broken are one again.
function flush_entry() {
  if (entry != "" && entry !~ /^-h,--help/) { print ".TP"; put("\\fB" escape(entry) "\\fR"); put(text == "" ? "\\&" : escape(text)) }
  entry = text = ""
}

/^@ / { flush_entry(); if (in_footer) print ".EE\n.RE"; print ".SS \"" escape(substr($0, 3)) "\""; first = 1; part = in_footer = 0; next }
first && /^$/ { next }
first { put(escape($0) "."); first = 0; next }
/^Usage: / { print ".PP"; put("\\fB" escape(substr($0, 8)) "\\fR"); part = 1; next }
/^(Positionals|Options|Subcommands|Verbs):$/ { flush_entry(); part = 2; next }
/^$/ { flush_entry(); if (part == 2) part = 3; else if (in_footer) print ""; next }
part == 2 && /^  [^ ]/ {
  flush_entry()
  line = substr($0, 3)
  at = match(line, /  +/)
  entry = at ? substr(line, 1, at - 1) : line
  text = at ? substr(line, at + RLENGTH) : ""
  next
}
part == 2 { sub(/^ +/, ""); text = text (text == "" ? "" : " ") $0; next }
part == 3 {
  if (!in_footer) { print ".PP\n.RS 4\n.EX"; in_footer = 1 }
  put(escape($0))
}
END { flush_entry(); if (in_footer) print ".EE\n.RE" }
