#!/bin/sh
# build-deb.sh: makes the Debian package; `make deb` calls it. Environment: BUILD (absolute), VERSION.
# The sources are copied to $BUILD/deb/src, where debian/ may be, and the packages appear in $BUILD/deb.
# Objects are kept in $BUILD/deb/obj, so that another revision is made in a moment.
set -eu
cd "$(dirname "$0")/../.."
deb=$BUILD/deb
rm -rf "$deb/src"
mkdir -p "$deb/src"
tar -cf - --exclude=__pycache__ --exclude=node_modules Makefile README.md LICENSE fcgi-app sql nginx |
	tar -xf - -C "$deb/src"
cp -r fcgi-app/packaging/debian "$deb/src/debian"
sed "s/@VERSION@/$VERSION/" fcgi-app/packaging/debian/changelog.in >"$deb/src/debian/changelog"
rm "$deb/src/debian/changelog.in"
if ! (cd "$deb/src" && O=$deb/obj DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" \
	dpkg-buildpackage --build=binary --no-sign) >"$deb/build.log" 2>&1; then
	tail -n 40 "$deb/build.log" >&2
	exit 1
fi
rm -rf "$deb/src"
find "$deb" -maxdepth 1 -name "longhaul_${VERSION}_*.deb"
