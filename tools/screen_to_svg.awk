# Turns what `tmux capture-pane -p -e` prints into an SVG: one row of cells a line, colours by their SGR numbers.
# Variables: columns, rows.
BEGIN {
  cell = 8; height = 17; margin = 12
  split("1d2021 cc4b3e 8ec07c e5c453 6699cc b48ead 5fb3b3 d8d8d8", palette, " ")
  plain = "d8d8d8"; ground = "1d2021"
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n", columns * cell + 2 * margin, rows * height + 2 * margin
  printf "<rect width=\"100%%\" height=\"100%%\" rx=\"6\" fill=\"#%s\"/>\n", ground
  reset()
}

function reset() { ink = plain; back = ""; bold = dim = reversed = underlined = 0 }

function select(codes,    list, count, i, code) {
  count = split(codes == "" ? "0" : codes, list, ";")
  for (i = 1; i <= count; ++i) {
    code = list[i] + 0
    if (code == 0) reset()
    else if (code == 1) bold = 1
    else if (code == 2) dim = 1
    else if (code == 4) underlined = 1
    else if (code == 7) reversed = 1
    else if (code == 22) bold = dim = 0
    else if (code == 24) underlined = 0
    else if (code == 27) reversed = 0
    else if (code >= 30 && code <= 37) ink = palette[code - 29]
    else if (code == 39) ink = plain
    else if (code >= 40 && code <= 47) back = palette[code - 39]
    else if (code == 49) back = ""
    else if (code >= 90 && code <= 97) ink = palette[code - 89]
  }
}

function escaped(text) {
  gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
  return text
}

# So many characters of UTF-8; awk counts bytes, with LC_ALL=C.
function characters(text) {
  gsub(/[\200-\277]/, "", text)
  return length(text)
}

function put(text,    width, x, y, front, behind) {
  if (text == "") return
  width = characters(text); x = margin + column * cell; y = margin + (NR - 1) * height
  front = reversed ? (back == "" ? ground : back) : ink
  behind = reversed ? ink : back
  if (behind != "") printf "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%s\"/>\n", x, y, width * cell, height, behind
  column += width
  if (text ~ /^ *$/) return
  printf "<text x=\"%d\" y=\"%d\" xml:space=\"preserve\" textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#%s\"%s%s%s>%s</text>\n", x, y + 13, width * cell, front,
         bold ? " font-weight=\"bold\"" : "", dim ? " opacity=\"0.6\"" : "", underlined ? " text-decoration=\"underline\"" : "", escaped(text)
}

{
  column = 0
  rest = $0
  while (match(rest, /\033\[[0-9;]*m/)) {
    put(substr(rest, 1, RSTART - 1))
    select(substr(rest, RSTART + 2, RLENGTH - 3))
    rest = substr(rest, RSTART + RLENGTH)
  }
  put(rest)
}

END { print "</svg>" }
