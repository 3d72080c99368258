/* Runs a list of system calls inside a target process and stops by itself: one stop per list instead of two per call.
   Position-independent; copied into a page of the target (RemoteArea), never run in this program.

   In: rbx = first entry, r12 = how many (at least 1), r13 = the signal that ends it, rsp = the way home (WayHome).
   An entry is eight 64-bit words: number, six arguments, result.

   The end is a signal that the thread sends to itself with tgkill. Not int3: a forced SIGTRAP resets the target's
   disposition of SIGTRAP if it is ignored or blocked (force_sig_info_to_task()); a sent one is seen by the tracer even if
   ignored (sig_ignored()) and then suppressed. getpid and gettid are asked here because the tracer may live in another
   PID namespace.

   Without a tracer, because it has been killed, the signal is one that the kernel ignores: the thread then goes home by
   itself. Not with rt_sigreturn, which makes a restart block return EINTR (restore_sigcontext()). */
        .section .rodata
        .globl  drover_runner_begin, drover_runner_home, drover_runner_end
        .type   drover_runner_begin, @object
drover_runner_begin:
1:      mov     (%rbx), %rax
        mov     8(%rbx), %rdi
        mov     16(%rbx), %rsi
        mov     24(%rbx), %rdx
        mov     32(%rbx), %r10
        mov     40(%rbx), %r8
        mov     48(%rbx), %r9
        syscall
        mov     %rax, 56(%rbx)
        add     $64, %rbx
        dec     %r12
        jnz     1b
        mov     $39, %eax               /* getpid */
        syscall
        mov     %rax, %rdi
        mov     $186, %eax              /* gettid */
        syscall
        mov     %rax, %rsi
        mov     %r13, %rdx
        mov     $234, %eax              /* tgkill */
        syscall
drover_runner_home:
        mov     $14, %eax               /* rt_sigprocmask */
        mov     $2, %edi                /* SIG_SETMASK */
        lea     -8(%rsp), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rsi
        pop     %rdi
        lea     8(%rsp), %rsp           /* orig_rax */
        iretq                           /* rip, cs, eflags, rsp, ss */
drover_runner_end:
        .section .note.GNU-stack, "", @progbits
