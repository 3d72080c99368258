/* The program of a blank process: nothing but a system call instruction at its entry point, where the restorer takes over
   before the first instruction is executed. Freestanding, so that nothing of a C library has to be taken apart. */
        .globl  _start
_start: syscall
        ud2
        .section .note.GNU-stack, "", @progbits
