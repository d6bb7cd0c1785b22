#!/bin/sh
# Turn requirements.txt (standard input) into environment.yml: the same pins without their hashes,
# since pip checks no hashes in a run that also installs the project itself.
cat <<'END'
# Written by `make lock` from requirements.txt. For conda and Binder.
name: normalize-skip-concatenate
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
END
sed -n 's/ \\$//; s/^[a-z0-9].*==.*/      - &/p'
echo '      - -e .'
