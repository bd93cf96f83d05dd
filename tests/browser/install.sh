#!/bin/sh
# Finds the browsers and the software Vulkan driver that the tests drive, or installs them.
# Chromium: on PATH, else Playwright's download, else the distribution's package.
# Firefox and lavapipe: on the machine, else the distribution's package, else the tests say so.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

find_with_doctor() { python -c "import doctor, sys; sys.exit(doctor.$1() is None)"; }

apt_install() {
    has apt-get || { echo "  no apt-get here: install $1 yourself to run its tests"; return 1; }
    root=""
    if [ "$(id -u)" != 0 ]; then
        has sudo || { echo "  not root and no sudo: install $1 yourself to run its tests"; return 1; }
        root="sudo"
    fi
    echo "  installing the package $1"
    [ -n "${apt_fresh:-}" ] || { $root apt-get update -qq; apt_fresh=1; }
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

starts() { "$(python -c 'import doctor; print(doctor.chromium())')" --version >/dev/null 2>&1; }

if find_with_doctor chromium && starts; then
    echo "Chromium: found"
else
    echo "Chromium: asking Playwright for one"
    { playwright install chromium && starts; } || apt_install chromium
fi
if find_with_doctor lavapipe; then
    echo "lavapipe: found"
else
    apt_install mesa-vulkan-drivers || true
fi
if find_with_doctor firefox; then
    echo "Firefox: found"
else
    apt_install firefox-esr || true
fi
