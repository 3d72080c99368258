// The scripts that `drover completion` prints. They know nothing of commands and options: they ask drover (complete.h).
#include "launcher/completion/complete.h"

namespace drover {

namespace {

constexpr const char* kBash = R"(# bash completion for drover; to try it: source <(drover completion bash)

_drover() {
  # Bash splits --option=VALUE at the "=": put together again. at[i] is where word i began.
  local -a words=() at=() answer=()
  local i word previous="" first cur
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((${#words[@]} > 0)) && [[ ${words[-1]} == --* ]] && [[ $word == "=" || $previous == "=" ]]; then
      words[-1]+=$word
    else
      words+=("$word")
      at+=("$i")
    fi
    previous=$word
  done
  cur=${words[-1]}

  COMPREPLY=()
  mapfile -t answer < <("${1/#\~/$HOME}" __complete "${words[@]}" 2>/dev/null)
  first=${answer[0]-}
  if [[ $first == program\ * ]]; then
    _drover_program "${at[${first#program }]}"
    return
  fi

  # Readline replaces what follows the last "=" if that separates words, else the whole word.
  local before=""
  if [[ $cur == --*=* ]]; then
    [[ $COMP_WORDBREAKS == *=* ]] || before=${cur%%=*}=
    cur=${cur#*=}
  fi
  case $first in
    words) for word in "${answer[@]:1}"; do COMPREPLY+=("$before${word%%$'\t'*}"); done ;;
    files) _drover_files -f "$cur" "$before" ;;
    directories) _drover_files -d "$cur" "$before" ;;
  esac
}

# compgen's option, what they begin with, what to write before them
_drover_files() {
  local -a found=()
  mapfile -t found < <(compgen "$1" -- "$2")
  ((${#found[@]} > 0)) || return
  COMPREPLY=("${found[@]/#/$3}")
  compopt -o filenames 2>/dev/null
}

# The command line that begins at word $1 is completed as if it had been typed alone.
_drover_program() {
  if declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif ((COMP_CWORD > $1)) || [[ ${COMP_WORDS[COMP_CWORD]} == */* ]]; then
    _drover_files -f "${COMP_WORDS[COMP_CWORD]}" ""
  else
    mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}" | sort -u)
  fi
}

complete -F _drover drover
)";

constexpr const char* kZsh = R"(#compdef drover
# zsh completion for drover; to try it: source <(drover completion zsh)

_drover() {
  local -a typed answer candidates
  local line word
  (( CURRENT > 2 )) && typed=("${(@Q)words[2,CURRENT-1]}")
  typed+=("${(Q)PREFIX}")
  answer=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete "${(@)typed}" 2>/dev/null)}")

  if [[ $answer[1] == program\ * ]]; then
    # Counted from 0 after "drover": that many words go, and one more.
    integer skip=$(( ${answer[1]#program } + 1 ))
    words=("${(@)words[skip+1,-1]}")
    (( CURRENT -= skip ))
    _normal -p drover
    return
  fi

  [[ $PREFIX == --*=* ]] && compset -P '*='
  case $answer[1] in
    words)
      for line in "${(@)answer[2,-1]}"; do
        word=${line%%$'\t'*}
        candidates+=("${word//:/\\:}:${line#*$'\t'}")
      done
      (( $#candidates )) && _describe -V 'drover' candidates
      ;;
    files) _files ;;
    directories) _files -/ ;;
  esac
}

# Found in $fpath this file is the function's body at first.
if [[ $funcstack[1] == _drover ]]; then
  _drover "$@"
else
  compdef _drover drover
fi
)";

}  // namespace

const char* completion_script(const std::string& shell) { return shell == "zsh" ? kZsh : kBash; }

}  // namespace drover
