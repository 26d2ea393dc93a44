/* Pooling, with channels last: a vector holds channels of one pixel. */
#include <math.h>
#include <string.h>

/* A window without padding: rows and columns of the image. */
typedef struct {
    ptrdiff_t top, bottom, left, right;
} cut_window;

INLINE cut_window window_at(const cnet_window *g, ptrdiff_t y, ptrdiff_t x) {
    const ptrdiff_t top = y * g->stride_y - g->pad_y, left = x * g->stride_x - g->pad_x;
    const cut_window w = {
        top < 0 ? 0 : top,
        min_size(top + g->kernel_height, g->height),
        left < 0 ? 0 : left,
        min_size(left + g->kernel_width, g->width),
    };
    return w;
}

/* 1 / pixels of a window. A window may be so large that this number does not fit into a ptrdiff_t.
 */
INLINE vec pixel_weight(const cnet_window *g) {
    return v_set1(1 / ((real)g->kernel_height * (real)g->kernel_width));
}

/* max(best, x), or NaN if either is NaN: a value that is not less than infinity may be one. */
INLINE vec larger(vec best, vec x) {
    return v_select_lt(x, v_set1((real)INFINITY), v_select_lt(best, x, x, best),
                       v_add(x, v_max(v_set1(0), best)));
}

/* out[c] = max or mean of x[y, x, c] over one window, for a vector of channels c. */
INLINE void pool_window(const int max, const int full, const cnet_window *g, cut_window w,
                        vmask mask, const real *x, real *out) {
    vec value = v_set1(max ? -(real)INFINITY : 0);
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const vec here = load_lanes(full, x + (y * g->width + c) * g->channels, mask);
            value = max ? larger(value, here) : v_add(value, here);
        }
    if (!max)
        value = v_mul(value, pixel_weight(g));
    store_lanes(full, out, value, mask);
}

/* dx (+)= the gradient of one window: for max, that of the first pixel with the maximum; for the
   mean, an equal fraction for each pixel. */
INLINE void unpool_window(const int max, const int full, const cnet_window *g, cut_window w,
                          vmask mask, const real *x, const real *out, const real *dout, real *dx,
                          int add) {
    const vec zero = v_set1(0), largest = max ? load_lanes(full, out, mask) : zero;
    vec left = load_lanes(full, dout, mask), value = v_mul(left, pixel_weight(g));
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const ptrdiff_t at = (y * g->width + c) * g->channels;
            if (max) {
                const vec here = load_lanes(full, x + at, mask);
                value = v_select_lt(here, largest, zero, left);
                left = v_select_lt(here, largest, left, zero);
            }
            store_lanes(full, dx + at, add ? v_add(load_lanes(full, dx + at, mask), value) : value,
                        mask);
        }
}

INLINE void pool_images(const int max, const cnet_window *g, ptrdiff_t n, const real *x,
                        real *out) {
    const ptrdiff_t C = g->channels;
    for (ptrdiff_t i = 0; i < n; i++, x += g->height * g->width * C)
        for (ptrdiff_t y = 0; y < g->out_height; y++)
            for (ptrdiff_t c = 0; c < g->out_width; c++, out += C) {
                const cut_window w = window_at(g, y, c);
                ptrdiff_t j = 0;
                for (; j + VL <= C; j += VL)
                    pool_window(max, 1, g, w, v_mask(VL), x + j, out + j);
                if (j < C)
                    pool_window(max, 0, g, w, v_mask(C - j), x + j, out + j);
            }
}

/* two_by_two is a constant: the loops over a window of 2 x 2 are unrolled. */
INLINE void unpool_images(const int max, const int two_by_two, const cnet_window *g, ptrdiff_t n,
                          const real *x, const real *out, const real *dout, real *dx) {
    const ptrdiff_t C = g->channels, image = g->height * g->width * C;
    const int overlap = g->stride_y < g->kernel_height || g->stride_x < g->kernel_width;
    for (ptrdiff_t i = 0; i < n; i++, x += image, dx += image) {
        memset(dx, 0, image * sizeof(real));
        for (ptrdiff_t y = 0; y < g->out_height; y++)
            for (ptrdiff_t c = 0; c < g->out_width; c++, out += C, dout += C) {
                cut_window w = window_at(g, y, c);
                if (two_by_two) {
                    w.bottom = w.top + 2;
                    w.right = w.left + 2;
                }
                ptrdiff_t j = 0;
                for (; j + VL <= C; j += VL)
                    unpool_window(max, 1, g, w, v_mask(VL), x + j, out + j, dout + j, dx + j,
                                  overlap);
                if (j < C)
                    unpool_window(max, 0, g, w, v_mask(C - j), x + j, out + j, dout + j, dx + j,
                                  overlap);
            }
    }
}

static void max_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(1, g, n, x, out);
}

static void max_pool_backward(const cnet_window *g, ptrdiff_t n, const real *x, const real *out,
                              const real *dout, real *dx) {
    if (g->kernel_height == 2 && g->kernel_width == 2 && g->pad_y == 0 && g->pad_x == 0)
        unpool_images(1, 1, g, n, x, out, dout, dx);
    else
        unpool_images(1, 0, g, n, x, out, dout, dx);
}

static void avg_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(0, g, n, x, out);
}

/* x and out are not read: dout is passed for them. */
static void avg_pool_backward(const cnet_window *g, ptrdiff_t n, const real *dout, real *dx) {
    unpool_images(0, 0, g, n, dout, dout, dout, dx);
}
