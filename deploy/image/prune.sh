#!/bin/sh
# Takes out of a node_modules what Node never loads at run time: prune.sh FOLDER. Licences stay.
set -eu
cd "$1"

# Maps and declarations; Node strips no types of files in here, so no other TypeScript is loaded either.
find . -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.tsbuildinfo' \) -delete
# Builds for other runtimes, which their packages' exports give to those only; prebuilt code for Bare.
find . -depth -type d \( -path '*/dist/browser' -o -path '*/dist/react-native' -o -path '*/dist/workerd' \) -exec rm -rf {} +
find . -type f -name '*.bare' -delete
# What packages bring of their own development, in their top folder only: deeper such names are code (yaml/dist/doc).
for package in */ @*/*/ */node_modules/*/ */node_modules/@*/*/ @*/*/node_modules/*/ @*/*/node_modules/@*/*/; do
  for name in .github test tests __tests__ benchmark benchmarks coverage docs example examples; do
    if [ -d "$package$name" ] && [ ! -e "$package$name/package.json" ]; then rm -rf "${package:?}$name"; fi
  done
done
find . -type f \( -name '*.md' -o -name '*.markdown' -o -name '.eslintrc*' -o -name '.nycrc*' -o -name '.npmignore' \
  -o -name '.editorconfig' -o -name '*.html' \) ! -iname '*licen[cs]e*' ! -iname '*notice*' -delete
