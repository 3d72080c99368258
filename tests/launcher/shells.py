"""Shells in which tests press Tab: bash's completion function called with COMP_WORDS, and bash and zsh at a terminal."""
import os
import pty
import re
import subprocess
import threading

from cluster import wait_for

# Fills COMP_WORDS as readline does, "=" being a word of its own, and prints what the function leaves in COMPREPLY.
BASH_CALL = r"""
[ -z "$BEFORE" ] || source "$BEFORE"
source "$SCRIPT"
COMP_WORDS=()
for word in "$@"; do
  if [[ $word == --*=* ]]; then
    COMP_WORDS+=("${word%%=*}" "=")
    [[ $word == *= ]] || COMP_WORDS+=("${word#*=}")
  else
    COMP_WORDS+=("$word")
  fi
done
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_LINE="${COMP_WORDS[*]}"
COMP_POINT=${#COMP_LINE}
_drover "$1" "${COMP_WORDS[COMP_CWORD]}" ""
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"""

# Tab completes, and leaves in $RESULT what matched and then the line.
BASH_RC = r"""
PS1='READY> '
[ -z "$BEFORE" ] || source "$BEFORE"
source "$SCRIPT"
bind 'set enable-bracketed-paste off' 'set bell-style none' 2>/dev/null
leave_line() { printf 'LINE:%s\n' "$READLINE_LINE" > "$RESULT.new"; mv "$RESULT.new" "$RESULT"; }
bind -x '"\C-g": leave_line'
"""
ZSH_RC = r"""
PS1='READY> '
unsetopt beep zle_bracketed_paste
unset zle_bracketed_paste
fpath=($SITE_FUNCTIONS $fpath)
autoload -Uz compinit && compinit -u -d $ZDOTDIR/dump
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
    local -a hits
    builtin compadd -O hits "$@"
    print -rl -- $hits >> $RESULT.new
  fi
  builtin compadd "$@"
}
leave_line() { : > $RESULT.new; zle complete-word; print -r -- "LINE:$BUFFER" >> $RESULT.new; mv $RESULT.new $RESULT; }
zle -N leave_line
bindkey '^I' leave_line
"""


def call_bash(env, directory, *words, before=""):
    """What bash offers for the words, and what it said on stderr."""
    result = subprocess.run(["bash", "--norc", "-c", BASH_CALL, "bash", *words], env=dict(env, BEFORE=before), cwd=directory,
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return result.stdout.decode().splitlines(), result.stderr.decode()


class Terminal:
    """An interactive shell of its own. tab() types half a line and returns what matched (zsh only) and the line then."""

    def __init__(self, name, env, directory, before=""):
        self.result = directory / f"{name}-result"
        rc_folder = directory / f"{name}-rc"
        rc_folder.mkdir()
        rc = rc_folder / ".zshrc"
        rc.write_text(ZSH_RC if name == "zsh" else BASH_RC)
        command = ["zsh", "-d", "-i"] if name == "zsh" else ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
        self.keys = b"\t" if name == "zsh" else b"\t\x07"
        self.shown = b""
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(["setsid", "--ctty", "--wait", *command], stdin=slave, stdout=slave, stderr=slave, cwd=directory,
                                        env=dict(env, RESULT=str(self.result), ZDOTDIR=str(rc_folder), TERM="dumb", BEFORE=before))
        os.close(slave)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_for(lambda: b"READY> " in self.shown, f"{name}'s prompt")

    def read(self):
        try:
            while piece := os.read(self.master, 65536):
                self.shown += piece
        except OSError:  # the shell has ended
            pass

    def tab(self, line):
        self.result.unlink(missing_ok=True)
        os.write(self.master, line.encode() + self.keys)
        wait_for(self.result.exists, f"an answer to {line!r}; the terminal has {self.shown!r}")
        *hits, last = self.result.read_text().splitlines()
        os.write(self.master, b"\x15")  # the line is gone, the next one may come
        return hits, re.sub("^LINE:", "", last)

    def close(self):
        os.write(self.master, b"\x15\x04")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()  # else it might read from the next terminal, which gets the same descriptor
        os.close(self.master)
