//go:build !purego

#include "textflag.h"

// func sumLanesAVX2(sums, x *float32, n, features int, weights, intercepts *float64)
//
// Two rows at a time, so that additions of one do not wait for the other's: Y0 and
// Y1 hold the sums of the first, Y2 and Y3 those of the second. A row that is left
// over is taken twice.
TEXT ·sumLanesAVX2(SB), NOSPLIT, $0-48
	MOVQ sums+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ features+24(FP), DX
	MOVQ weights+32(FP), R8
	MOVQ intercepts+40(FP), R9

rows:
	MOVQ SI, R10             // the first row
	LEAQ (SI)(DX*4), R11     // the second
	LEAQ 32(DI), R12         // where its sums go
	CMPQ CX, $1
	JNE  pair
	MOVQ R10, R11
	MOVQ DI, R12

pair:
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1
	VXORPD Y2, Y2, Y2
	VXORPD Y3, Y3, Y3
	MOVQ   R8, R13           // the weights of the feature
	XORQ   AX, AX

features:
	VMOVUPD      (R13), Y6
	VMOVUPD      32(R13), Y7
	VBROADCASTSS (R10)(AX*4), X4
	VCVTPS2PD    X4, Y4
	VBROADCASTSS (R11)(AX*4), X5
	VCVTPS2PD    X5, Y5
	VMULPD       Y6, Y4, Y8
	VADDPD       Y8, Y0, Y0
	VMULPD       Y7, Y4, Y9
	VADDPD       Y9, Y1, Y1
	VMULPD       Y6, Y5, Y10
	VADDPD       Y10, Y2, Y2
	VMULPD       Y7, Y5, Y11
	VADDPD       Y11, Y3, Y3
	ADDQ         $64, R13
	INCQ         AX
	CMPQ         AX, DX
	JLT          features

	VADDPD     (R9), Y0, Y0
	VADDPD     32(R9), Y1, Y1
	VADDPD     (R9), Y2, Y2
	VADDPD     32(R9), Y3, Y3
	VCVTPD2PSY Y0, X0
	VCVTPD2PSY Y1, X1
	VCVTPD2PSY Y2, X2
	VCVTPD2PSY Y3, X3
	VMOVUPS    X0, (DI)
	VMOVUPS    X1, 16(DI)
	VMOVUPS    X2, (R12)
	VMOVUPS    X3, 16(R12)

	LEAQ (SI)(DX*8), SI
	ADDQ $64, DI
	SUBQ $2, CX
	JGT  rows
	VZEROUPPER
	RET

// func expAVX2(x *float32, n int)
//
// The steps of exp32, four numbers at a time. Y8 to Y15 hold its constants, the
// others of the polynomial stand in memory.
TEXT ·expAVX2(SB), NOSPLIT, $0-16
	MOVQ         x+0(FP), SI
	MOVQ         n+8(FP), CX
	VBROADCASTSD expConst<>+0(SB), Y8   // log2 e
	VBROADCASTSD expConst<>+8(SB), Y9   // magic
	VBROADCASTSD expConst<>+16(SB), Y10 // ln 2
	VBROADCASTSD expConst<>+24(SB), Y11 // -87
	VBROADCASTSD expConst<>+32(SB), Y12 // 1023
	VBROADCASTSD expConst<>+40(SB), Y13 // 1
	VBROADCASTSD expConst<>+48(SB), Y14 // 1/5040
	VBROADCASTSD expConst<>+56(SB), Y15 // 1/720
	VBROADCASTSD expConst<>+64(SB), Y7  // 1/120
	VBROADCASTSD expConst<>+72(SB), Y6  // 1/24
	VBROADCASTSD expConst<>+80(SB), Y5  // 1/6
	VBROADCASTSD expConst<>+88(SB), Y4  // 1/2

four:
	VCVTPS2PD (SI), Y0
	VMULPD    Y8, Y0, Y1
	VADDPD    Y9, Y1, Y1      // shifted
	VSUBPD    Y9, Y1, Y2
	VMULPD    Y10, Y2, Y2
	VSUBPD    Y2, Y0, Y2      // r
	VPSUBQ    Y9, Y1, Y1      // n
	VPADDQ    Y12, Y1, Y1
	VPSLLQ    $52, Y1, Y1     // 2^n
	VMULPD    Y14, Y2, Y3
	VADDPD    Y15, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y7, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y6, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y5, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y4, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y13, Y3, Y3
	VMULPD    Y3, Y2, Y3
	VADDPD    Y13, Y3, Y3
	VMULPD    Y1, Y3, Y3
	VCMPPD    $0x1e, Y11, Y0, Y0 // x > -87
	VANDPD    Y0, Y3, Y3
	VCVTPD2PSY Y3, X3
	VMOVUPS   X3, (SI)
	ADDQ      $16, SI
	SUBQ      $4, CX
	JGT       four
	VZEROUPPER
	RET

// func inRangesAVX2(x *float32, n, features int, low, high *float32) bool
//
// Eight features at a time; the last eight of a row may overlap those before. Y0
// holds what was true so far.
TEXT ·inRangesAVX2(SB), NOSPLIT, $0-41
	MOVQ     x+0(FP), SI
	MOVQ     n+8(FP), CX
	MOVQ     features+16(FP), DX
	MOVQ     low+24(FP), R8
	MOVQ     high+32(FP), R9
	LEAQ     -8(DX), R10 // where the last eight begin
	VPCMPEQD Y0, Y0, Y0

row:
	XORQ AX, AX

eight:
	VMOVUPS (SI)(AX*4), Y1
	VCMPPS  $0x1e, (R8)(AX*4), Y1, Y2 // x > low
	VANDPS  Y2, Y0, Y0
	VCMPPS  $0x11, (R9)(AX*4), Y1, Y3 // x < high
	VANDPS  Y3, Y0, Y0
	ADDQ    $8, AX
	CMPQ    AX, R10
	JLE     eight
	CMPQ    AX, DX
	JGE     next
	MOVQ    R10, AX
	JMP     eight

next:
	LEAQ      (SI)(DX*4), SI
	DECQ      CX
	JNZ       row
	VMOVMSKPS Y0, AX
	CMPL      AX, $0xff
	SETEQ     ret+40(FP)
	VZEROUPPER
	RET

DATA expConst<>+0(SB)/8, $1.4426950408889634
DATA expConst<>+8(SB)/8, $6755399441055744.0
DATA expConst<>+16(SB)/8, $0.6931471805599453
DATA expConst<>+24(SB)/8, $-87.0
DATA expConst<>+32(SB)/8, $1023
DATA expConst<>+40(SB)/8, $1.0
DATA expConst<>+48(SB)/8, $0.0001984126984126984
DATA expConst<>+56(SB)/8, $0.001388888888888889
DATA expConst<>+64(SB)/8, $0.008333333333333333
DATA expConst<>+72(SB)/8, $0.041666666666666664
DATA expConst<>+80(SB)/8, $0.16666666666666666
DATA expConst<>+88(SB)/8, $0.5
GLOBL expConst<>(SB), RODATA|NOPTR, $96
