/* The stub as bytes of this program; it is run from a memfd. */
        .section .rodata
        .globl  drover_stub_begin, drover_stub_end
drover_stub_begin:
        .incbin DROVER_STUB
drover_stub_end:
        .section .note.GNU-stack, "", @progbits
