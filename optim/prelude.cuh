// What the CUDA kernels of this package use beyond the language itself. It includes no CUDA header, so that NVRTC needs
// none, and the same kernels are built by a host compiler against the emulator of the tests, which defines the same words.
//
//   KERNEL(name, parameters...) { ... }   a kernel with C linkage; with -DMOST_THREADS, for blocks of at most so many,
//                                         and with -DFEWEST_BLOCKS, for registers that leave room for so many of them
//   SHARED(type, name)                    name: the dynamic shared memory of the block, aligned to 16 bytes
//   DEVICE, DEVICE_MEMBER                 stand before functions that kernels call, and before those of a struct
//   UNROLLED                              stands before a loop whose length is known when it is compiled
//   SPIN()                                stands in every loop that waits for another thread
//   load_relaxed, store_relaxed           a word that other blocks read or write meanwhile; neither cached nor torn
//
// real is float, or double with -DREAL_IS_DOUBLE; word is the unsigned integer of its size.
#pragma once

#ifdef REAL_IS_DOUBLE
typedef double real;
typedef unsigned long long word;
#else
typedef float real;
typedef unsigned int word;
#endif

#ifdef __CUDACC__  // NVRTC defines it too
#if defined(MOST_THREADS) && defined(FEWEST_BLOCKS)
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(MOST_THREADS, FEWEST_BLOCKS) name(__VA_ARGS__)
#elif defined(MOST_THREADS)
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(MOST_THREADS) name(__VA_ARGS__)
#else
#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
#endif
#define DEVICE __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define UNROLLED _Pragma("unroll")
#define SHARED(type, name) \
    extern __shared__ __align__(16) unsigned char shared_bytes[]; \
    type* name = reinterpret_cast<type*>(shared_bytes)
#define SPIN()

#ifdef REAL_IS_DOUBLE
DEVICE word load_relaxed(const word* address) {
    word value;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(address));
    return value;
}
DEVICE void store_relaxed(word* address, word value) {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(address), "l"(value));
}
DEVICE real as_real(word bits) { return __longlong_as_double(static_cast<long long>(bits)); }
DEVICE word as_word(real value) { return static_cast<word>(__double_as_longlong(value)); }
#else
DEVICE word load_relaxed(const word* address) {
    word value;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address));
    return value;
}
DEVICE void store_relaxed(word* address, word value) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(address), "r"(value));
}
DEVICE real as_real(word bits) { return __uint_as_float(bits); }
DEVICE word as_word(real value) { return __float_as_uint(value); }
#endif
#else
#include "emulator.h"
#endif

#ifdef REAL_IS_DOUBLE
DEVICE real multiply_add(real a, real b, real c) { return fma(a, b, c); }
DEVICE real hyperbolic_tangent(real x) { return tanh(x); }
DEVICE real exponential(real x) { return exp(x); }
#else
DEVICE real multiply_add(real a, real b, real c) { return fmaf(a, b, c); }
DEVICE real hyperbolic_tangent(real x) { return tanhf(x); }
DEVICE real exponential(real x) { return expf(x); }
#endif

#ifdef ACTIVATION  // the number of a function: the length of its entry in reservoir.simd.activations.CODES
DEVICE real activate(real z) {
#if ACTIVATION == 1
    return hyperbolic_tangent(z);
#elif ACTIVATION == 2
    return z > 0 ? z : real(0);
#elif ACTIVATION == 3
    return real(1) / (real(1) + exponential(-z));
#else
    return z;
#endif
}
#endif
