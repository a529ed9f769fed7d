#!/bin/sh
# Builds the program with javac and Debian's jars; pom.xml is for everybody else.
set -eu
cd "$(dirname "$0")"
stubs=../../build/stubs/java
tree=../../build/clients/java

jars=/usr/share/java
path=$jars/protobuf.jar:$jars/guava.jar:$jars/gson.jar:$jars/geronimo-annotation-1.3-spec.jar:$jars/perfmark-api.jar
for name in api context core netty protobuf protobuf-lite stub; do path=$path:$jars/grpc-$name.jar; done
for name in buffer codec codec-http codec-http2 codec-socks common handler handler-proxy resolver transport \
    transport-native-unix-common; do path=$path:$jars/netty-$name.jar; done

rm -rf "$tree"
mkdir -p "$tree/stubs" "$tree/classes"
tree=$(cd "$tree" && pwd)
# Apart from ours, for generated code has warnings that are not ours to mend.
find "$stubs" -name '*.java' >"$tree/stubs.txt"
javac -nowarn -proc:none -d "$tree/stubs" -cp "$path" "@$tree/stubs.txt" 2>"$tree/stubs.log" ||
    { cat "$tree/stubs.log" >&2; exit 1; }
find src -name '*.java' >"$tree/sources.txt"
javac -Xlint:all,-path,-classfile -Werror -proc:none -d "$tree/classes" -cp "$tree/stubs:$path" "@$tree/sources.txt"
cat >"$tree/client" <<END
#!/bin/sh
exec java -XX:TieredStopAtLevel=1 -cp '$tree/classes:$tree/stubs:$path' com.example.tickserve.Main "\$@"
END
chmod +x "$tree/client"
