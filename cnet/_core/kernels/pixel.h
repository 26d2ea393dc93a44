/* Positions in a sequence of images. */

/* A pixel of a sequence of images (height, width). */
typedef struct {
    ptrdiff_t image, y, x;
} pixel;

/* The pixel with that number, counted from the first of the first image. */
static pixel pixel_at(ptrdiff_t number, ptrdiff_t height, ptrdiff_t width) {
    const ptrdiff_t row = number / width;
    const pixel p = {row / height, row % height, number % width};
    return p;
}

/* p becomes the next pixel. */
INLINE void advance(pixel *p, ptrdiff_t height, ptrdiff_t width) {
    if (++p->x < width)
        return;
    p->x = 0;
    if (++p->y < height)
        return;
    p->y = 0;
    p->image++;
}
