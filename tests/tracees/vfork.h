// vfork(2) with values in the registers that nobody can read meanwhile.
#pragma once

// vfork(2), and in the child `child`, which does not return. The parent: which registers are not as they were before.
static long vfork_for(void (*child)(long), long argument, long* pid) {
  long broken;
  __asm__ volatile(
      "mov $0x1111111111, %%rbx\n"
      "mov $0x2222222222, %%r12\n"
      "mov $0x3333333333, %%r13\n"
      "mov $0x4444444444, %%r14\n"
      "mov $0x5555555555, %%r15\n"
      "mov $58, %%eax\n" /* vfork */
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "sub $256, %%rsp\n"
      "and $-16, %%rsp\n"
      "call *%%rdx\n"
      "1:\n"
      "mov %%rax, %[pid]\n"
      "mov $0x1111111111, %%rax\n"
      "xor %%rax, %%rbx\n"
      "mov $0x2222222222, %%rax\n"
      "xor %%rax, %%r12\n"
      "mov $0x3333333333, %%rax\n"
      "xor %%rax, %%r13\n"
      "mov $0x4444444444, %%rax\n"
      "xor %%rax, %%r14\n"
      "mov $0x5555555555, %%rax\n"
      "xor %%rax, %%r15\n"
      "or %%r12, %%rbx\n"
      "or %%r13, %%rbx\n"
      "or %%r14, %%rbx\n"
      "or %%r15, %%rbx\n"
      "mov %%rbx, %[broken]\n"
      : [broken] "=m"(broken), [pid] "=m"(*pid), "+d"(child), "+D"(argument)
      :
      : "rax", "rbx", "rcx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  return broken;
}
