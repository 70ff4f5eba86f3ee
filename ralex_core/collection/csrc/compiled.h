/* What the parts of `ralex_core.collection._compiled` share: the SDK's Python objects, seen from C.
 *
 * The module does what instruments do for every request and query of the host, and nothing else: whatever is rare goes
 * to the Python code beside it, which does all of it where the module was not built. */

#ifndef RALEX_COMPILED_H
#define RALEX_COMPILED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>

/* Names */

#define NAMES(X) X(default_recorder) X(headers) X(numbers) X(put) X(root_path) \
    X(route) X(rowcount) X(statement) X(type) X(status) X(body) X(more_body) X(method) X(fastapi) \
    X(effective_route_context) X(client) X(http_status) X(request) X(api) X(_begin) X(_end) X(_last) X(_prepared)
#define DECLARE(name) extern PyObject *str_##name;
NAMES(DECLARE)
#undef DECLARE

/* Python objects, set by `bind` */

extern PyObject *active;        /* dict of the module `active`: default_recorder and numbers are replaced now and then */
extern PyObject *current;       /* context variables */
extern PyObject *defaults;
extern PyObject *trouble;       /* called with an exception of our own */
extern PyObject *place;         /* leaf.place */
extern PyObject *resumed;       /* queries.Query.resumed */
extern PyObject *text_of;       /* queries.text_of */
extern PyObject *client_of;     /* clients.client_of, and what it remembers */
extern PyObject *clients;
extern PyTypeObject *ActiveOperation, *Recorder, *Watch;

/* Where the slots of Python classes lie in their instances */

#define SLOTS(X) \
    X(ActiveOperation, name) X(ActiveOperation, kind) X(ActiveOperation, fields) X(ActiveOperation, extra) \
    X(ActiveOperation, parent) X(ActiveOperation, trace) X(ActiveOperation, span) X(ActiveOperation, start_ns) \
    X(ActiveOperation, started_ns) X(ActiveOperation, end_ns) X(ActiveOperation, token) X(ActiveOperation, defaults) \
    X(Recorder, rows) \
    X(Known, returned) X(Known, affected) \
    X(Prepared, name) X(Prepared, attributes) X(Prepared, count_name) \
    X(Watch, switch) X(Watch, database) X(Watch, slow_ns) X(Watch, elsewhere) \
    X(Switch, on) X(Database, known) X(Endpoints, answers)
#define DECLARE(type, slot) extern Py_ssize_t type##_##slot;
SLOTS(DECLARE)
#undef DECLARE
#define SLOT(object, slot) (*(PyObject **)((char *)(object) + (slot)))

/* Set a slot to a new reference, which is taken over. */
static inline void set_slot(PyObject *object, Py_ssize_t slot, PyObject *value)
{
    PyObject *before = SLOT(object, slot);
    SLOT(object, slot) = value;
    Py_XDECREF(before);
}

/* Shared work */

int find_slot(PyObject *type, const char *name, Py_ssize_t *slot); /* where it lies; -1 with an exception */
int64_t steady_ns(void);
int64_t wall_ns(void);
void report_trouble(void);                  /* the exception that is set is ours: tell, and go on */
PyObject *next_number(void);                /* of a span; a new reference */
PyObject *context_get(PyObject *variable);  /* its value, None by default; a new reference, NULL with an exception */

#define NO_COUNT INT64_MIN

/* When an operation began and ended; `started_ns` is by the wall clock, 0: it follows from the steady one. */
typedef struct {
    int64_t started_ns, start_ns, end_ns;
} Times;

/* Record an operation that is prepared. Never leaves an exception. */
void record(PyObject *prepared, PyObject *trace, PyObject *span, PyObject *parent, Times times, int64_t count,
            const char *kind);

void fill_digits(void);
extern PyType_Spec rows_spec, answers_spec, request_spec;
extern PyTypeObject *Rows, *Answers, *Request;
int add_row(PyObject *rows, PyObject *prepared, PyObject *trace, PyObject *span, PyObject *parent, Times times,
            int64_t count);
/* What requests were prepared as that are alike in this. The objects are kept: all but the method, which is text, are
 * compared by identity. */
typedef struct {
    PyObject *route, *context, *method, *client; /* context and client may be NULL */
    long status;
    PyObject *prepared;
} Answer;
PyObject *find_answer(PyObject *answers, const Answer *sought); /* a new reference; NULL, without an exception, if none */
void keep_answer(PyObject *answers, const Answer *sought, PyObject *prepared);

PyObject *sqlite_classes(PyObject *module, PyObject *args);
PyObject *use_cursor(PyObject *module, PyObject *cursor);

#endif
