/* Prepared operations on their way from the host's threads to the recorder's, as plain numbers: what waits costs the
 * host one write, has nothing the garbage collector visits, and becomes the rows of tables without a Python object. */

#include "compiled.h"

typedef struct {
    PyObject *prepared;
    uint64_t trace, span, parent;
    Times times;
    int64_t count;
    int has_parent;
} Row;

typedef struct {
    PyObject_HEAD
    Row *rows;
    Py_ssize_t used, room, taken; /* of the first `used`, `taken` are gone already */
    Py_ssize_t limit;
} RowsObject;

#define SCATTER 0x9E3779B97F4A7C15ULL /* ids.SCATTER */

static int number_of(PyObject *value, uint64_t *number)
{
    if (!PyLong_CheckExact(value))
        return 0;
    *number = PyLong_AsUnsignedLongLongMask(value); /* of our own counter: less than 2**63 */
    return 1;
}

/* Returns whether it was taken: not when it is none of ours, too many wait, or the recorder's thread is to be woken. */
int add_row(PyObject *self, PyObject *prepared, PyObject *trace, PyObject *span, PyObject *parent, Times times,
            int64_t count)
{
    RowsObject *rows = (RowsObject *)self;
    if (rows->used - rows->taken >= rows->limit)
        return 0;
    Row row = {.times = times, .count = count, .has_parent = parent != Py_None};
    if (!number_of(trace, &row.trace) || !number_of(span, &row.span) ||
        (row.has_parent && !number_of(parent, &row.parent)))
        return 0;
    if (rows->used == rows->room) {
        Py_ssize_t room = rows->room ? 2 * rows->room : 256;
        Row *larger = PyMem_Realloc(rows->rows, room * sizeof(Row));
        if (!larger)
            return 0;
        rows->rows = larger;
        rows->room = room;
    }
    row.prepared = Py_NewRef(prepared);
    rows->rows[rows->used++] = row;
    return 1;
}

/* Text of one prepared operation's rows: `[[…],[…]]` */

#define ROW_TEXT 160 /* seven numbers of at most 20 characters, and what is between them */

typedef struct {
    PyObject *prepared;
    char *text;
    size_t length, room;
    Py_ssize_t count;
} Group;

static char two_digits[200]; /* 00 to 99 */

void fill_digits(void)
{
    for (int i = 0; i < 100; i++) {
        two_digits[2 * i] = '0' + i / 10;
        two_digits[2 * i + 1] = '0' + i % 10;
    }
}

static inline char *put_unsigned(char *at, uint64_t number)
{
    char digits[20], *from = digits + sizeof digits;
    while (number >= 100) {
        memcpy(from -= 2, two_digits + number % 100 * 2, 2);
        number /= 100;
    }
    if (number >= 10)
        memcpy(from -= 2, two_digits + number * 2, 2);
    else
        *--from = '0' + number;
    size_t length = digits + sizeof digits - from;
    memcpy(at, from, length);
    return at + length;
}

static inline char *put_signed(char *at, int64_t number)
{
    if (number < 0)
        *at++ = '-';
    return put_unsigned(at, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* Nanoseconds as milliseconds, exactly. */
static inline char *put_ms(char *at, int64_t ns)
{
    if (ns < 0)
        *at++ = '-';
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    at = put_unsigned(at, size / 1000000);
    uint32_t rest = size % 1000000;
    if (rest) {
        *at++ = '.';
        for (uint32_t place = 100000; rest; place /= 10) {
            *at++ = '0' + rest / place;
            rest %= place;
        }
    }
    return at;
}

static inline char *put_null(char *at)
{
    memcpy(at, "null", 4);
    return at + 4;
}

static int write_row(Group *group, const Row *row, int64_t wall_minus_steady_ns)
{
    if (group->room - group->length < ROW_TEXT) {
        size_t room = group->room ? 2 * group->room : 4096;
        char *larger = PyMem_Realloc(group->text, room);
        if (!larger) {
            PyErr_NoMemory();
            return -1;
        }
        group->text = larger;
        group->room = room;
    }
    char *at = group->text + group->length;
    *at++ = group->count++ ? ',' : '[';
    *at++ = '[';
    at = put_unsigned(at, row->trace * SCATTER);
    *at++ = ',';
    at = put_unsigned(at, row->span * SCATTER);
    *at++ = ',';
    at = row->has_parent ? put_unsigned(at, row->parent * SCATTER) : put_null(at);
    *at++ = ',';
    const Times *times = &row->times;
    at = put_signed(at, (times->started_ns ? times->started_ns : times->start_ns + wall_minus_steady_ns) / 1000);
    *at++ = ',';
    at = put_ms(at, times->end_ns - times->start_ns);
    *at++ = ',';
    at = row->count == NO_COUNT ? put_null(at) : put_signed(at, row->count);
    *at++ = ']';
    group->length = at - group->text;
    return 0;
}

/* The group of a prepared operation; `numbers` has their places. */
static Group *group_of(PyObject *prepared, PyObject *numbers, Group **groups, Py_ssize_t *used)
{
    PyObject *known = PyDict_GetItemWithError(numbers, prepared);
    if (known)
        return *groups + PyLong_AsSsize_t(known);
    if (PyErr_Occurred())
        return NULL;
    if ((*used & (*used - 1)) == 0) { /* a power of two: full */
        Group *larger = PyMem_Realloc(*groups, (*used ? 2 * *used : 1) * sizeof(Group));
        if (!larger) {
            PyErr_NoMemory();
            return NULL;
        }
        *groups = larger;
    }
    PyObject *number = PyLong_FromSsize_t(*used);
    if (!number || PyDict_SetItem(numbers, prepared, number) < 0) {
        Py_XDECREF(number);
        return NULL;
    }
    Py_DECREF(number);
    Group *group = *groups + (*used)++;
    *group = (Group){.prepared = prepared};
    return group;
}

PyDoc_STRVAR(take_doc, "take($self, at_most, wall_minus_steady_ns, /)\n--\n\n"
    "The oldest rows, at most so many, by what they have in common: (prepared, how many, their text as JSON).");

static PyObject *rows_take(RowsObject *self, PyObject *args)
{
    Py_ssize_t at_most, used = 0;
    long long offset_ns;
    if (!PyArg_ParseTuple(args, "nL:take", &at_most, &offset_ns))
        return NULL;
    Py_ssize_t end = Py_MIN(self->used, self->taken + Py_MAX(at_most, 0));
    PyObject *numbers = PyDict_New(), *found = NULL;
    Group *groups = NULL, *group = NULL;
    if (!numbers)
        return NULL;
    /* Nothing in this loop runs code that could add a row. What is given up here is counted by nobody, so nothing is
     * let go before all is written. */
    for (Py_ssize_t i = self->taken; i < end; i++) {
        const Row *row = self->rows + i;
        if (!group || group->prepared != row->prepared)
            group = group_of(row->prepared, numbers, &groups, &used);
        if (!group || write_row(group, row, offset_ns) < 0)
            goto done;
    }
    found = PyList_New(used);
    for (Py_ssize_t i = 0; found && i < used; i++) {
        groups[i].text[groups[i].length++] = ']'; /* there is room: a row takes less than what was kept for it */
        PyObject *of_one = Py_BuildValue("(Ony#)", groups[i].prepared, groups[i].count, groups[i].text,
                                         (Py_ssize_t)groups[i].length);
        if (!of_one)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, i, of_one);
    }
    if (found) {
        Py_ssize_t from = self->taken;
        self->taken = end;
        for (Py_ssize_t i = from; i < end; i++)
            Py_DECREF(self->rows[i].prepared); /* never the last reference: `found` has it */
        if (self->taken == self->used)
            self->taken = self->used = 0;
        else if (self->taken > self->used / 2) {
            memmove(self->rows, self->rows + self->taken, (self->used - self->taken) * sizeof(Row));
            self->used -= self->taken;
            self->taken = 0;
        }
    }
done:
    for (Py_ssize_t i = 0; i < used; i++)
        PyMem_Free(groups[i].text);
    PyMem_Free(groups);
    Py_DECREF(numbers);
    return found;
}

PyDoc_STRVAR(put_doc, "put($self, values, /)\n--\n\n"
    "Take a finished operation (`recorder.Values`); returns whether it was: a prepared one, without defaults, with\n"
    "numbers for ids, while there is room.");

static PyObject *rows_put(PyObject *self, PyObject *values)
{
    PyObject *prepared, *kind, *counted, *attributes, *trace, *span, *parent, *around;
    Times times;
    long long started_ns, start_ns, end_ns;
    if (!PyTuple_Check(values) || !PyArg_ParseTuple(values, "OOOOOOOLLLO", &prepared, &kind, &counted, &attributes,
                                                    &trace, &span, &parent, &started_ns, &start_ns, &end_ns, &around))
        return NULL;
    int64_t count = counted == Py_None ? NO_COUNT : PyLong_AsLongLong(counted);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    times = (Times){started_ns, start_ns, end_ns};
    return PyBool_FromLong(around == Py_None && add_row(self, prepared, trace, span, parent, times, count));
}

static Py_ssize_t rows_length(RowsObject *self)
{
    return self->used - self->taken;
}

static PyObject *rows_get_limit(RowsObject *self, void *closure)
{
    return PyLong_FromSsize_t(self->limit);
}

static int rows_set_limit(RowsObject *self, PyObject *value, void *closure)
{
    Py_ssize_t limit = value ? PyLong_AsSsize_t(value) : -1;
    if (limit == -1 && PyErr_Occurred())
        return -1;
    self->limit = limit;
    return 0;
}

static PyObject *rows_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    RowsObject *self = (RowsObject *)type->tp_alloc(type, 0);
    if (self)
        self->limit = -1;
    return (PyObject *)self;
}

static void rows_dealloc(RowsObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (Py_ssize_t i = self->taken; i < self->used; i++)
        Py_DECREF(self->rows[i].prepared);
    PyMem_Free(self->rows);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef rows_methods[] = {
    {"take", (PyCFunction)rows_take, METH_VARARGS, take_doc}, {"put", rows_put, METH_O, put_doc}, {NULL}};
static PyGetSetDef rows_getset[] = {
    {"limit", (getter)rows_get_limit, (setter)rows_set_limit, "Rows that may wait; -1 takes none."}, {NULL}};
static PyType_Slot rows_slots[] = {
    {Py_tp_doc, "Prepared operations that wait for the recorder's thread."},
    {Py_tp_new, rows_new},
    {Py_tp_dealloc, rows_dealloc},
    {Py_tp_methods, rows_methods},
    {Py_tp_getset, rows_getset},
    {Py_sq_length, rows_length},
    {0, NULL},
};
PyType_Spec rows_spec = {"ralex_core.collection._compiled.Rows", sizeof(RowsObject), 0, Py_TPFLAGS_DEFAULT, rows_slots};
