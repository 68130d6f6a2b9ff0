// The words in which the steps of cells are written as CUDA, see step_text.py; scan.cu goes with them through time.
//
// SEQUENCES  sequences of a block: a power of two. Each step has a row of them in arrays that are ordered by step
// UNITS, COLUMNS, SECOND, KEPT, FED_BACK  of the cell: widths H of h, Z of z, C of c, E of e, G of what is fed back
//
// Loops over rows and columns are gone through by the threads of a block, each with elements of its own.
#pragma once
#include "prelude.cuh"

constexpr int ROWS = SEQUENCES < 4 ? SEQUENCES : 4;  // of which a thread adds products: it reads a weight once for all

// An array of rows of so many columns.
template <class Real, int WIDTH>
struct Table {
    Real* at;
    DEVICE_MEMBER Real& operator()(size_t row, int column) const { return at[row * WIDTH + column]; }
};

// What a forward pass keeps, or its directional derivative.
template <class Real>
struct Tape {
    Table<Real, COLUMNS> z;
    Table<Real, UNITS> h;
    Table<Real, SECOND> c;
    Table<Real, KEPT> e;
};

// Derivatives on their way back; all but those of the planes have a row a sequence.
struct Cotangents {
    Table<real, COLUMNS> z;
    Table<real, UNITS> h;
    Table<real, SECOND> c;
    Table<real, FED_BACK> g;
    Table<real, KEPT> s;
    Table<const real, COLUMNS> added;
};

// Units whose state is given at every step: of each its number among them, or -1, and the values (R, n).
struct Held {
    const int* number;
    const real* values;
    int n;
    DEVICE_MEMBER bool has(int unit) const { return n > 0 && number[unit] >= 0; }
    DEVICE_MEMBER real value(size_t row, int unit) const { return values[row * n + number[unit]]; }
};

// Derivatives by the outputs (R, H), if there are any, and the bound on those by the states.
struct Above {
    Table<const real, UNITS> outputs;
    int is_there;
    real limit;
    DEVICE_MEMBER real added_to(real dh, size_t row, int unit) const {
        if (is_there) dh += outputs(row, unit);
        return dh > limit ? limit : dh < -limit ? -limit : dh;
    }
};

#define FORWARD_STEP                                                                                                \
    DEVICE void forward_step(                                                                                       \
        real* copied, const real* weights, const Tape<real>& tape, const Held& held, int now, int before, int after, \
        int n                                                                                                       \
    )
#define BACKWARD_STEP_NAMED(name)                                                                                   \
    DEVICE void name(                                                                                               \
        real* copied, const real* weights, const Tape<const real>& tape, const Cotangents& d, const Above& above,   \
        const Held& held, int now, int before, int after, int n                                                     \
    )
#define BACKWARD_STEP BACKWARD_STEP_NAMED(backward_step)
#define DAMPED_BACKWARD_STEP BACKWARD_STEP_NAMED(damped_backward_step)
#define RFORWARD_STEP                                                                                               \
    DEVICE void rforward_step(                                                                                      \
        real* copied, const real* weights, const Tape<const real>& tape, const Tape<real>& r, const Held& held,     \
        int now, int before, int after, int n                                                                       \
    )

// Four elements that are read at once.
struct alignas(16) Four {
    real of[4];
};

DEVICE constexpr int padded(int width) { return (width + 3) / 4 * 4; }

// Columns of n rows of ``a``, for all threads to read.
template <int DEPTH, class Source>
DEVICE void copy(real* copied, const Source& a, int a_row, int a_column, int n) {
    for (int place = threadIdx.x; place < n * DEPTH; place += blockDim.x) {
        const int row = place / DEPTH, i = place % DEPTH;
        copied[row * padded(DEPTH) + i] = a(a_row + row, a_column + i);
    }
}

// c += copied matrix, the matrix (DEPTH, WIDTH). Rows that are not there are reckoned with, and written nowhere.
template <int DEPTH, int WIDTH, class Target>
DEVICE void add_product(const real* copied, const real* matrix, const Target& c, int c_row, int c_column, int n) {
    const int n_groups = (n + ROWS - 1) / ROWS;
    for (int place = threadIdx.x; place < n_groups * WIDTH; place += blockDim.x) {
        const int first = place / WIDTH * ROWS, k = place % WIDTH;
        const real *x = copied + first * padded(DEPTH), *weight = matrix + k;
        real sum[ROWS];
        UNROLLED
        for (int r = 0; r < ROWS; r++) sum[r] = first + r < n ? c(c_row + first + r, c_column + k) : real(0);
        for (int i = 0; i + 4 <= DEPTH; i += 4, weight += 4 * WIDTH) {
            Four four[ROWS];
            UNROLLED
            for (int r = 0; r < ROWS; r++) four[r] = *reinterpret_cast<const Four*>(x + r * padded(DEPTH) + i);
            UNROLLED
            for (int q = 0; q < 4; q++)
                UNROLLED
                for (int r = 0; r < ROWS; r++) sum[r] = multiply_add(weight[q * WIDTH], four[r].of[q], sum[r]);
        }
        for (int i = DEPTH / 4 * 4; i < DEPTH; i++, weight += WIDTH)
            UNROLLED
            for (int r = 0; r < ROWS; r++) sum[r] = multiply_add(*weight, x[r * padded(DEPTH) + i], sum[r]);
        UNROLLED
        for (int r = 0; r < ROWS; r++)
            if (first + r < n) c(c_row + first + r, c_column + k) = sum[r];
    }
}

DEVICE real magnitude(real x) { return x < 0 ? -x : x; }
DEVICE real at_least(real x, real low) { return x < low ? low : x; }

// 1 / (1 + exp(-x)), without an overflow.
DEVICE real logistic(real x) {
    const real e = exponential(-magnitude(x));
    return (x < 0 ? e : real(1)) / (real(1) + e);
}
