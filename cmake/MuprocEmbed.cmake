# cmake -DFILE=… -DOUT=x.cpp -DHEADER=… -DNAME=ns::k_text -P MuprocEmbed.cmake: a source that defines NAME, a
# std::string_view which HEADER declares, as the bytes of FILE.
cmake_minimum_required(VERSION 3.25)
file(READ "${FILE}" bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
string(REGEX REPLACE "('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)" "\\1\\2\\3\\4\\5\\6\\7\\8\n" bytes "${bytes}")
file(WRITE "${OUT}" "#include \"${HEADER}\"

namespace {
constexpr char bytes[] = {
${bytes}
};
}  // namespace

const std::string_view ${NAME}(bytes, sizeof bytes);
")
