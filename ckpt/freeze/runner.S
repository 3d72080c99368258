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
        .globl  drover_runner_begin, drover_runner_home, drover_runner_first_pop, drover_runner_onto_stack, drover_runner_stand_in, drover_runner_end
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
drover_runner_first_pop:
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

/* Goes home by way of the thread's own stack, where a signal that has been pending finds room for its frame.
   In: rbp = the way home (WayHome), rsp = 8 above where it shall lie. */
drover_runner_onto_stack:
        mov     %rbp, %rsi
        lea     -8(%rsp), %rdi
        mov     $28, %ecx               /* words */
        cld
        rep movsq
        jmp     drover_runner_home

/* Where the stand-in of a vfork child's main thread (vfork.h) waits, should its tracer be killed: for that one's end.
   In: rbx = WaitPage::main_thread; rbp and rsp as above, for the way home of the child. If the main thread goes on after all, there is
   nobody to stand in for. If the parent has been let go before it was sent into its wait, it has been stopped; a process
   of ours, which has no signal at its end, continues it when the child has called execve(2) or ended. */
drover_runner_stand_in:
1:      cmpl    $0, (%rbx)
        je      2f
        mov     %rbx, %rdi
        xor     %esi, %esi              /* FUTEX_WAIT */
        mov     $1, %edx
        lea     8(%rbx), %r10
        mov     $202, %eax              /* futex */
        syscall
        cmp     $-110, %rax             /* ETIMEDOUT */
        jne     1b
        xor     %edi, %edi
        mov     $60, %eax               /* exit */
        syscall
2:      cmpl    $0, 4(%rbx)             /* parent_waits */
        jne     drover_runner_onto_stack
        mov     $0x700, %edi            /* CLONE_VM | CLONE_FS | CLONE_FILES */
        xor     %esi, %esi
        xor     %edx, %edx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        mov     $56, %eax               /* clone */
        syscall
        test    %rax, %rax
        js      5f
        jnz     drover_runner_onto_stack
3:      mov     24(%rbx), %edx          /* child */
        test    %edx, %edx
        jz      4f
        lea     24(%rbx), %rdi
        xor     %esi, %esi
        lea     8(%rbx), %r10
        mov     $202, %eax
        syscall
        jmp     3b
4:      lea     24(%rbx), %rdi          /* the kernel wakes only one who waits */
        mov     $1, %esi                /* FUTEX_WAKE */
        mov     $1, %edx
        mov     $202, %eax
        syscall
        mov     28(%rbx), %edi          /* parent */
        mov     $18, %esi               /* SIGCONT */
        mov     $62, %eax               /* kill */
        syscall
        xor     %edi, %edi
        mov     $60, %eax
        syscall
5:      mov     $127, %edi              /* as one whose execve(2) has failed, rather than share the parent's stack */
        mov     $231, %eax              /* exit_group */
        syscall
drover_runner_end:
        .section .note.GNU-stack, "", @progbits
