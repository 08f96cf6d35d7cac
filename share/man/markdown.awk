# A page of docs/ as the body of a man page, on standard output: headings, paragraphs, lists, code, and tables, whose rows
# become entries. Only what our pages use of Markdown is known. A table of keys (| key | type | default | example | |)
# has its columns named.
#
# awk -f markdown.awk PAGE.md

function escape(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  return text
}

# Spans: `code`, **bold**, *emphasis*, [text](where).
function inline(text,    out, at, where, end) {
  out = ""
  while (match(text, /`[^`]+`|\*\*[^*]+\*\*|\*[^* ][^*]*\*|\[[^]]*\]\([^)]*\)/)) {
    at = substr(text, RSTART, RLENGTH)
    out = out escape(substr(text, 1, RSTART - 1))
    text = substr(text, RSTART + RLENGTH)
    if (at ~ /^`/) out = out "\\fB" escape(substr(at, 2, length(at) - 2)) "\\fR"
    else if (at ~ /^\*\*/) out = out "\\fB" escape(substr(at, 3, length(at) - 4)) "\\fR"
    else if (at ~ /^\*/) out = out "\\fI" escape(substr(at, 2, length(at) - 2)) "\\fR"
    else {
      end = index(at, "](")
      where = substr(at, end + 2, length(at) - end - 2)
      gsub(/-/, " ", where)
      out = out (at ~ /^\[Below\]/ ? "See " toupper(escape(substr(where, 2))) : inline(substr(at, 2, end - 2)))
    }
  }
  return out escape(text)
}

# A line of text never begins with what troff would take for a request.
function put(text) { print (text ~ /^[.'\'']/ ? "\\&" : "") text }

function cells_of(line,    n, i) {
  gsub(/\\\|/, "\001", line)
  sub(/^\| */, "", line)
  sub(/ *\|$/, "", line)
  n = split(line, cell, / *\| */)
  for (i = 1; i <= n; ++i) gsub(/\001/, "|", cell[i])
  return n
}

function row(line,    n, i, text) {
  n = cells_of(line)
  print ".TP"
  put(inline(cell[1]))
  text = ""
  if (of_keys) {
    text = inline(cell[2])
    if (cell[3] != "") text = text "; default: " inline(cell[3])
    if (cell[4] != "") text = text "; for example " inline(cell[4])
    put(text ".")
    if (cell[5] != "") { print ".br"; put(inline(cell[5])) }
    return
  }
  for (i = 2; i <= n; ++i)
    if (cell[i] != "") text = text (text == "" ? "" : ". ") inline(cell[i])
  put(text == "" ? "\\&" : text)
}

/^```/ {
  if (in_code) print ".EE\n.RE"; else print ".PP\n.RS 4\n.EX"
  in_code = !in_code
  next
}
in_code { text = $0; gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text); put(text); next }

/^# / { next }
# The names of a config's tables are written as they are.
/^## / { is_table = /\[/; sub(/^## /, ""); gsub(/`/, ""); print ".SH \"" escape(is_table ? $0 : toupper($0)) "\""; after_heading = 1; next }
/^### / { sub(/^### /, ""); gsub(/`/, ""); print ".SS \"" escape($0) "\""; after_heading = 1; next }

/^\|/ {
  if (!in_table) { in_table = 1; of_keys = ($0 ~ /^\| *key *\| *type *\|/); next }
  if ($0 ~ /^\|[-| ]+$/) next
  row($0)
  next
}
in_table && /^$/ { in_table = 0; print ".PP"; next }

/^- / { sub(/^- /, ""); print ".IP \\(bu 2"; in_list = 1; put(inline($0)); next }
in_list && /^  / { sub(/^ +/, ""); put(inline($0)); next }

/^$/ { in_list = 0; if (!after_heading) print ".PP"; next }
{ after_heading = 0; put(inline($0)) }
