/* The module: its Python objects, and what its parts share. */

#include "compiled.h"
#include <time.h>

#define DEFINE(name) PyObject *str_##name;
NAMES(DEFINE)
#undef DEFINE
#define DEFINE(type, slot) Py_ssize_t type##_##slot;
SLOTS(DEFINE)
#undef DEFINE

PyObject *active, *current, *defaults, *trouble, *place, *resumed, *text_of, *client_of, *clients;
PyTypeObject *ActiveOperation, *Recorder, *Watch, *Rows, *Answers, *Request;

int64_t steady_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* what time.monotonic_ns reads */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void report_trouble(void)
{
    PyObject *type, *error, *traceback;
    int is_ours = PyErr_ExceptionMatches(PyExc_Exception);
    PyErr_Fetch(&type, &error, &traceback);
    if (!is_ours) {
        /* Ctrl-C, or what a signal handler of the host raised: it goes on as soon as the host's code does */
        PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), type);
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        return;
    }
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *done = error ? PyObject_CallOneArg(trouble, error) : NULL;
    if (!done)
        PyErr_WriteUnraisable(trouble);
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

PyObject *next_number(void)
{
    PyObject *numbers = PyDict_GetItemWithError(active, str_numbers);
    if (!numbers) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "no numbers");
        return NULL;
    }
    return Py_TYPE(numbers)->tp_iternext(numbers);
}

PyObject *context_get(PyObject *variable)
{
    PyObject *value = NULL;
    return PyContextVar_Get(variable, Py_None, &value) < 0 ? NULL : value;
}

/* Through `Recorder.put`, which wakes its thread or counts a drop. */
static int record_slowly(PyObject *recorder, PyObject *prepared, PyObject *trace, PyObject *span, PyObject *parent,
                         Times times, int64_t count, const char *kind, PyObject *around)
{
    PyObject *counted = count == NO_COUNT ? Py_NewRef(Py_None) : PyLong_FromLongLong(count);
    PyObject *values = Py_BuildValue("(OsNOOOOLLLO)", prepared, kind, counted, Py_None, trace, span, parent,
                                     (long long)times.started_ns, (long long)times.start_ns, (long long)times.end_ns,
                                     around);
    PyObject *done = values ? PyObject_CallMethodOneArg(recorder, str_put, values) : NULL;
    Py_XDECREF(values);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

void record(PyObject *prepared, PyObject *trace, PyObject *span, PyObject *parent, Times times, int64_t count,
            const char *kind)
{
    PyObject *recorder = PyDict_GetItemWithError(active, str_default_recorder);
    PyObject *around = recorder ? context_get(defaults) : NULL;
    if (!around) {
        report_trouble();
        return;
    }
    Py_INCREF(recorder);
    PyObject *rows = Py_TYPE(recorder) == Recorder ? SLOT(recorder, Recorder_rows) : NULL;
    int taken = around == Py_None && rows && Py_TYPE(rows) == Rows &&
                add_row(rows, prepared, trace, span, parent, times, count);
    if (!taken && record_slowly(recorder, prepared, trace, span, parent, times, count, kind, around) < 0)
        report_trouble();
    Py_DECREF(around);
    Py_DECREF(recorder);
}

/* Where a slot of a class with `__slots__` lies. */
int find_slot(PyObject *type, const char *name, Py_ssize_t *slot)
{
    PyObject *found = PyObject_GetAttrString(type, name);
    if (!found)
        return -1;
    int is_slot = Py_TYPE(found) == &PyMemberDescr_Type;
    if (is_slot)
        *slot = ((PyMemberDescrObject *)found)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name);
    Py_DECREF(found);
    return is_slot ? 0 : -1;
}

PyDoc_STRVAR(bind_doc, "bind($module, known, classes, /)\n--\n\nName the SDK's objects and classes; once, at import.");

static PyObject *bind(PyObject *module, PyObject *args)
{
    PyObject *known, *classes;
    if (!PyArg_ParseTuple(args, "O!O!:bind", &PyDict_Type, &known, &PyDict_Type, &classes))
        return NULL;
#define TAKE(name)                                                                                                     \
    {                                                                                                                  \
        PyObject *given = PyDict_GetItemString(known, #name);                                                          \
        if (!given)                                                                                                    \
            return PyErr_Format(PyExc_KeyError, #name);                                                                \
        Py_XSETREF(name, Py_NewRef(given));                                                                            \
    }
    TAKE(active)
    TAKE(current)
    TAKE(defaults)
    TAKE(trouble)
    TAKE(place)
    TAKE(resumed)
    TAKE(text_of)
    TAKE(client_of)
    TAKE(clients)
#undef TAKE
#define FIND(type, slot)                                                                                               \
    {                                                                                                                  \
        PyObject *given = PyDict_GetItemString(classes, #type);                                                        \
        if (!given)                                                                                                    \
            return PyErr_Format(PyExc_KeyError, #type);                                                                \
        if (find_slot(given, #slot, &type##_##slot) < 0)                                                               \
            return NULL;                                                                                               \
    }
    SLOTS(FIND)
#undef FIND
    Py_XSETREF(ActiveOperation, (PyTypeObject *)Py_NewRef(PyDict_GetItemString(classes, "ActiveOperation")));
    Py_XSETREF(Recorder, (PyTypeObject *)Py_NewRef(PyDict_GetItemString(classes, "Recorder")));
    Py_XSETREF(Watch, (PyTypeObject *)Py_NewRef(PyDict_GetItemString(classes, "Watch")));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_main_doc, "is_main($module, /)\n--\n\nWhether this is the main interpreter, the only one it serves.");

static PyObject *is_main(PyObject *module, PyObject *none)
{
    return PyBool_FromLong(PyInterpreterState_Get() == PyInterpreterState_Main());
}

static PyMethodDef methods[] = {
    {"is_main", is_main, METH_NOARGS, is_main_doc},
    {"bind", bind, METH_VARARGS, bind_doc},
    {"sqlite_classes", sqlite_classes, METH_VARARGS,
     "sqlite_classes($module, connection, cursor, /)\n--\n\nSubclasses of both that time statements and fetches."},
    {"use_cursor", use_cursor, METH_O,
     "use_cursor($module, cursor, /)\n--\n\nThe class of the cursors that a connection's `execute` makes."},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_compiled",
    .m_doc = "The hot paths of the SDK's instruments.",
    .m_size = -1,
    .m_methods = methods,
};

static int add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromSpec(spec);
    return *type ? PyModule_AddObjectRef(module, name, (PyObject *)*type) : -1;
}

PyMODINIT_FUNC PyInit__compiled(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
#define INTERN(name)                                                                                                   \
    if (!(str_##name = PyUnicode_InternFromString(#name)))                                                             \
        return NULL;
    NAMES(INTERN)
#undef INTERN
    fill_digits();
    if (add_type(module, "Rows", &rows_spec, &Rows) < 0 || add_type(module, "Answers", &answers_spec, &Answers) < 0 ||
        add_type(module, "Request", &request_spec, &Request) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
