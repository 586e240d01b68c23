# shellcheck shell=bash
# Sourced by the other scripts: the checkout's virtual environment, made and refreshed when needed.

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
venv=$root/.venv

fail() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 1
}

# The interpreter that decides: PYTHON if set, else that of the environment, else python3.
interpreter() {
    if [[ -n ${PYTHON-} ]]; then
        printf '%s\n' "$PYTHON"
    elif [[ -x $venv/bin/python ]]; then
        printf '%s\n' "$venv/bin/python"
    else
        printf 'python3\n'
    fi
}

requirements() { "$(interpreter)" -IS "$root/scripts/requirements.py" "$1"; }

# Which of the groups the environment does not hold as pyproject.toml lists them now.
outdated() {
    local group wanted
    for group; do
        wanted=$(requirements "$group") || return
        [[ -x $venv/bin/python && -f $venv/$group.txt && $wanted == "$(<"$venv/$group.txt")" ]] ||
            printf '%s\n' "$group"
    done
}

# Made anew where it was never finished or belongs to another interpreter: its packages would not be found.
make_venv() {
    local wanted had=
    wanted=$(requirements core)
    [[ ! -f $venv/core.txt ]] || had=$(<"$venv/core.txt")
    [[ ! -x $venv/bin/python || ${wanted%%$'\n'*} != "${had%%$'\n'*}" ]] || return 0

    local python=${PYTHON:-python3}
    "$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python lacks venv or ensurepip (on Debian and Ubuntu: apt install python3-venv)"
    "$python" -I -m venv --clear "$venv" >&2
}

# need GROUP...: afterwards "$venv/bin/python" has them. Without work to do it is silent and asks no network.
need() {
    local groups group lock install=()
    command -v -- "$(interpreter)" >/dev/null || fail "no $(interpreter) here; ztop needs Python 3.11 or newer"
    groups=$(outdated "$@") || exit 1
    [[ -n $groups ]] || return 0

    exec {lock}<"$root/pyproject.toml"
    flock "$lock"
    groups=$(outdated "$@") || exit 1 # someone else may just have done it
    if [[ -n $groups ]]; then
        printf '%s\n' "${0##*/}: installing into $venv (${groups//$'\n'/, })" >&2
        make_venv
        for group in $groups; do
            requirements "$group" >"$venv/$group.new"
            install+=(-r "$venv/$group.new")
        done
        "$venv/bin/python" -I -m pip install -qq --disable-pip-version-check "${install[@]}" >&2 ||
            fail "pip could not install what pyproject.toml lists"
        for group in $groups; do
            mv -- "$venv/$group.new" "$venv/$group.txt"
        done
    fi
    exec {lock}<&-
}

# The programs run from the checkout, uninstalled; so do the processes they start.
export PYTHONPATH=$root:$root/protocol
