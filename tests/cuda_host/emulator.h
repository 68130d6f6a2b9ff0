// The part of CUDA that our kernels use, on the host: a fibre for every CUDA thread, all of them on one thread of the
// operating system, run in an order that the caller chooses. A kernel that is right gives the same bits in every order.
//
// A cooperative launch holds the whole grid at once; any other runs block after block. Shared memory begins as NaN and
// ends in a strip that must be left alone. What cannot happen on a card, or would hang there, ends the launch with a
// sentence: a lane outside its own mask, a barrier that some thread never meets, a wait for what nobody writes.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

namespace emulated {

constexpr size_t STACK_BYTES = 64 * 1024;
constexpr size_t STRIP_BYTES = 64;
constexpr unsigned char POISON = 0xFF;  // words of it are NaN
constexpr int IDLE_ROUNDS = 200;        // a thread that polls several words is idle for some rounds before it goes on

struct Size {
    unsigned x, y, z;
    unsigned product() const { return x * y * z; }
    Size place(unsigned i) const { return {i % x, i / x % y, i / x / y}; }
};

struct Meeting {  // threads that wait for one another
    int arrived = 0;
    unsigned generation = 0;
};

struct Warp {
    Meeting meeting;
    unsigned mask = 0;
    uint64_t offered[32];
};

struct Block {
    Size index;
    Meeting meeting;
    int n_threads;
    std::vector<Warp> warps;
    std::vector<unsigned char> shared;
};

struct Thread {
    enum State { READY, WAITING, DONE };
    Size index;
    unsigned lane;
    Block* block;
    Warp* warp;
    State state = READY;
    const Meeting* awaited = nullptr;
    unsigned generation = 0;
    bool is_started = false;
    unsigned char* stack;
    jmp_buf place;
    ucontext_t context;
};

struct Launch {
    Size grid, block;
    void (*body)(void**);
    void** arguments;
    const char* error = nullptr;
    uint64_t progress = 0;
};

// Numbers at random (Vigna's SplitMix64), without the headers of the standard library, which take longest to compile.
struct Random {
    uint64_t state;
    uint64_t operator()() {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    template <class T>
    void shuffle(std::vector<T>& items) {
        for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[(*this)() % i]);
    }
};

inline Thread* current = nullptr;
inline Launch* launch = nullptr;
inline jmp_buf scheduler;

// Each setjmp stands in a function of its own: what lives in the frame around it would not survive the return.
__attribute__((noinline)) inline void leave_to_scheduler() {
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
    asm volatile("" ::: "memory");
}

inline void fail(const char* sentence) {
    if (!launch->error) launch->error = sentence;
    current->state = Thread::WAITING;
    current->awaited = nullptr;
    leave_to_scheduler();
}

inline void run_body() {
    launch->body(launch->arguments);
    current->state = Thread::DONE;
    launch->progress++;
    if (current->block->meeting.arrived && !launch->error) launch->error = "a thread ended while its block waits for it";
    _longjmp(scheduler, 1);
}

__attribute__((noinline)) inline void resume(Thread* thread) {
    current = thread;
    if (_setjmp(scheduler)) return;
    if (thread->is_started) _longjmp(thread->place, 1);
    thread->is_started = true;
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK_BYTES;
    thread->context.uc_link = nullptr;
    makecontext(&thread->context, run_body, 0);
    setcontext(&thread->context);
}

inline void meet(Meeting& meeting, int needed) {
    if (++meeting.arrived == needed) {
        meeting.arrived = 0;
        meeting.generation++;
        launch->progress++;
        return;
    }
    current->state = Thread::WAITING;
    current->awaited = &meeting;
    current->generation = meeting.generation;
    leave_to_scheduler();
}

inline void meet_block() { meet(current->block->meeting, current->block->n_threads); }

inline void meet_warp(unsigned mask) {
    Warp* warp = current->warp;
    if (!(mask >> current->lane & 1)) fail("a lane is not in its own mask");
    if (warp->meeting.arrived && warp->mask != mask) fail("lanes that meet name different masks");
    warp->mask = mask;
    meet(warp->meeting, __builtin_popcount(mask));
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    current->warp->offered[current->lane] = bits;
    meet_warp(mask);
    if (source >= 32 || !(mask >> source & 1)) fail("a shuffle reads a lane outside its mask");
    bits = current->warp->offered[source];
    meet_warp(mask);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

inline bool is_runnable(Thread& thread) {
    if (thread.state == Thread::WAITING && thread.awaited && thread.awaited->generation != thread.generation)
        thread.state = Thread::READY;
    return thread.state == Thread::READY;
}

// Runs the threads round after round until all are done, nothing moves any more, or one has failed.
inline void run_threads(std::vector<Thread>& threads, int order, Random& random) {
    std::vector<size_t> turns(threads.size());
    for (size_t i = 0; i < turns.size(); i++) turns[i] = order == 1 ? turns.size() - 1 - i : i;
    size_t n_done = 0;
    int n_idle = 0;
    while (n_done < threads.size() && !launch->error) {
        if (order > 1) random.shuffle(turns);
        const uint64_t before = launch->progress;
        for (size_t i : turns) {
            if (!is_runnable(threads[i])) continue;
            resume(&threads[i]);
            n_done += threads[i].state == Thread::DONE;
            if (launch->error) return;
        }
        n_idle = launch->progress == before ? n_idle + 1 : 0;
        if (n_idle > IDLE_ROUNDS) launch->error = "deadlock: no thread can go on";
    }
}

// order: 0 ascending, 1 descending, more: random with that seed. Returns what went wrong, or nullptr.
inline const char* run(
    void (*body)(void**), void** arguments, Size grid, Size block, unsigned shared_bytes, int order, bool is_cooperative
) {
    Launch here{grid, block, body, arguments};
    launch = &here;
    Random random{uint64_t(order)};
    const unsigned n_blocks = grid.product(), n_threads = block.product(), n_at_once = is_cooperative ? n_blocks : 1;
    const size_t stack_bytes = size_t(n_at_once) * n_threads * STACK_BYTES;
    auto* stacks = static_cast<unsigned char*>(
        mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    );
    if (stacks == MAP_FAILED) return "no memory for the stacks of the threads";
    std::vector<unsigned> turns(n_blocks);
    for (unsigned i = 0; i < n_blocks; i++) turns[i] = order == 1 ? n_blocks - 1 - i : i;
    if (order > 1) random.shuffle(turns);
    for (unsigned first = 0; first < n_blocks && !here.error; first += n_at_once) {
        std::vector<Block> blocks(n_at_once);
        std::vector<Thread> threads(size_t(n_at_once) * n_threads);
        for (unsigned i = 0; i < n_at_once; i++) {
            Block& b = blocks[i];
            b.index = grid.place(turns[first + i]);
            b.n_threads = n_threads;
            b.warps.resize((n_threads + 31) / 32);
            b.shared.assign(shared_bytes + STRIP_BYTES, POISON);
            for (unsigned j = 0; j < n_threads; j++) {
                const size_t number = size_t(i) * n_threads + j;
                Thread& thread = threads[number];
                thread.index = block.place(j);
                thread.lane = j % 32;
                thread.block = &b;
                thread.warp = &b.warps[j / 32];
                thread.stack = stacks + number * STACK_BYTES;
            }
        }
        run_threads(threads, order, random);
        for (const Block& b : blocks)
            for (size_t i = 0; i < STRIP_BYTES && !here.error; i++)
                if (b.shared[shared_bytes + i] != POISON) here.error = "a write past the end of shared memory";
    }
    munmap(stacks, stack_bytes);
    return here.error;
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<Parameters*>(arguments[I])...);
}

template <class... Parameters>
void call(void (*kernel)(Parameters...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

template <class... Parameters>
constexpr int sizes_of(void (*)(Parameters...), int* sizes) {
    int n = 0;
    ((sizes[n++] = sizeof(Parameters)), ...);
    return n;
}

}  // namespace emulated

// NAME runs the kernel, as cuLaunchKernel takes its arguments; NAME_parameters writes their sizes and returns how many.
#define KERNEL(name, ...)                                                                                              \
    static void name##_body(__VA_ARGS__);                                                                              \
    extern "C" int name##_parameters(int* sizes) { return emulated::sizes_of(name##_body, sizes); }                     \
    extern "C" const char* name(                                                                                        \
        void** arguments, const unsigned* grid, const unsigned* block, unsigned shared_bytes, int order, int together   \
    ) {                                                                                                                 \
        return emulated::run(                                                                                           \
            [](void** all) { emulated::call(name##_body, all); }, arguments, {grid[0], grid[1], grid[2]},               \
            {block[0], block[1], block[2]}, shared_bytes, order, together                                               \
        );                                                                                                              \
    }                                                                                                                   \
    static void name##_body(__VA_ARGS__)
#define DEVICE static inline
#define DEVICE_MEMBER inline
#define UNROLLED
#define SHARED(type, name) type* name = reinterpret_cast<type*>(emulated::current->block->shared.data())
#define SPIN() emulated::leave_to_scheduler()
#define __restrict__
#define threadIdx (emulated::current->index)
#define blockIdx (emulated::current->block->index)
#define blockDim (emulated::launch->block)
#define gridDim (emulated::launch->grid)
#define __syncthreads() emulated::meet_block()
#define __syncwarp(mask) emulated::meet_warp(mask)
#define __shfl_sync(mask, value, source) emulated::shuffle(mask, value, source)
#define __shfl_xor_sync(mask, value, bits) emulated::shuffle(mask, value, emulated::current->lane ^ (bits))

DEVICE word load_relaxed(const word* address) { return *const_cast<const volatile word*>(address); }
DEVICE void store_relaxed(word* address, word value) {
    *const_cast<volatile word*>(address) = value;
    emulated::launch->progress++;
}
DEVICE real as_real(word bits) {
    real value;
    std::memcpy(&value, &bits, sizeof(real));
    return value;
}
DEVICE word as_word(real value) {
    word bits;
    std::memcpy(&bits, &value, sizeof(real));
    return bits;
}
