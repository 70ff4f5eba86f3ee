/* A request to an ASGI application: from its head to the last byte of the answer. */

#include "compiled.h"

typedef struct {
    PyObject_HEAD
    PyObject *scope, *endpoints, *outer, *send, *root, *op, *token;
    long status;
    long long size, first_ns;
} RequestObject;

static PyObject *lookup(PyObject *mapping, PyObject *key) /* borrowed from a dict; NULL when it has none such */
{
    PyObject *value = PyDict_GetItemWithError(mapping, key);
    if (!value)
        PyErr_Clear();
    return value;
}

static int has_ended(PyObject *op)
{
    PyObject *end = SLOT(op, ActiveOperation_end_ns);
    return end && PyObject_IsTrue(end) == 1;
}

/* `active.operation("request", "api")` */
static PyObject *new_operation(void)
{
    PyObject *op = ActiveOperation->tp_alloc(ActiveOperation, 0);
    PyObject *fields = op ? PyDict_New() : NULL, *zero = fields ? PyLong_FromLong(0) : NULL;
    if (!zero) {
        Py_XDECREF(op);
        Py_XDECREF(fields);
        return NULL;
    }
    set_slot(op, ActiveOperation_name, Py_NewRef(str_request));
    set_slot(op, ActiveOperation_kind, Py_NewRef(str_api));
    set_slot(op, ActiveOperation_fields, fields);
    set_slot(op, ActiveOperation_extra, Py_NewRef(Py_None));
    set_slot(op, ActiveOperation_parent, Py_NewRef(Py_None));
    set_slot(op, ActiveOperation_start_ns, Py_NewRef(zero));
    set_slot(op, ActiveOperation_end_ns, zero);
    return op;
}

#define PLAIN 1
#define OTHERWISE 0

/* Look through the headers: OTHERWISE for a request with a body, a parent, or anything unexpected; -1 with an
 * exception. */
static int read_headers(PyObject *headers, PyObject *fields, int traceparent)
{
    if (!headers || !PyList_CheckExact(headers))
        return OTHERWISE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2)
            return OTHERWISE;
        PyObject *name = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value))
            return OTHERWISE;
        Py_ssize_t length = PyBytes_GET_SIZE(name);
        const char *text = PyBytes_AS_STRING(name);
        if (length == 10 && !memcmp(text, "user-agent", 10)) {
            PyObject *client = PyBytes_GET_SIZE(value) <= 512 ? lookup(clients, value) : NULL;
            Py_XINCREF(client);
            if (!client && !(client = PyObject_CallOneArg(client_of, value)))
                return -1;
            int failed = client != Py_None && PyDict_SetItem(fields, str_client, client) < 0;
            Py_DECREF(client);
            if (failed)
                return -1;
        } else if (length == 11 && !memcmp(text, "traceparent", 11)) {
            if (traceparent)
                return OTHERWISE;
        } else if (length == 14 && !memcmp(text, "content-length", 14)) {
            if (PyBytes_GET_SIZE(value) != 1 || *PyBytes_AS_STRING(value) != '0')
                return OTHERWISE;
        }
    }
    return PLAIN;
}

/* Begin a request that is plain and encloses all there is: a trace of its own. */
static int begin(RequestObject *self, int traceparent, PyObject *timed)
{
    if (!PyDict_CheckExact(self->scope))
        return OTHERWISE;
    PyObject *op = self->op;
    int found = read_headers(lookup(self->scope, str_headers), SLOT(op, ActiveOperation_fields), traceparent);
    if (found != PLAIN) {
        PyDict_Clear(SLOT(op, ActiveOperation_fields));
        return found;
    }
    PyObject *above = context_get(current);
    if (!above)
        return -1;
    Py_DECREF(above);
    if (above != Py_None)
        return OTHERWISE;
    PyObject *number = next_number();
    if (!number || PyDict_SetItem(self->scope, timed, Py_True) < 0)
        return -1;
    set_slot(op, ActiveOperation_trace, Py_NewRef(number));
    set_slot(op, ActiveOperation_span, number);
    set_slot(op, ActiveOperation_token, Py_NewRef(Py_None));
    self->token = PyContextVar_Set(current, op);
    set_slot(op, ActiveOperation_started_ns, PyLong_FromLongLong(wall_ns()));
    set_slot(op, ActiveOperation_start_ns, PyLong_FromLongLong(steady_ns()));
    return self->token ? PLAIN : -1;
}

static int request_init(RequestObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *scope, *endpoints, *outer, *send, *timed;
    int traceparent;
    if (!PyArg_ParseTuple(args, "OOOOpO:Request", &scope, &endpoints, &outer, &send, &traceparent, &timed))
        return -1;
    PyObject *root = PyObject_CallMethod(scope, "get", "Os", str_root_path, "");
    if (!root || !PyUnicode_Check(root)) {
        PyErr_Clear();
        Py_XSETREF(root, PyUnicode_FromStringAndSize(NULL, 0));
    }
    Py_XSETREF(self->scope, Py_NewRef(scope));
    Py_XSETREF(self->endpoints, Py_NewRef(endpoints));
    Py_XSETREF(self->outer, Py_NewRef(outer));
    Py_XSETREF(self->send, Py_NewRef(send));
    Py_XSETREF(self->root, root);
    Py_XSETREF(self->op, new_operation());
    if (!self->root || !self->op)
        return -1;
    int found = begin(self, traceparent, timed);
    if (found == OTHERWISE) {
        PyObject *done = PyObject_CallMethodObjArgs((PyObject *)self, str__begin, traceparent ? Py_True : Py_False, NULL);
        Py_XDECREF(done);
        found = done ? PLAIN : -1;
    }
    if (found < 0)
        report_trouble();
    return 0;
}

/* The prepared operation that the request was one of, a new reference; NULL without an exception when it has to be
 * found in Python. */
static PyObject *prepared_of(RequestObject *self)
{
    PyObject *route = lookup(self->scope, str_route), *root = lookup(self->scope, str_root_path);
    PyObject *method = lookup(self->scope, str_method), *context = NULL;
    int is_mounted = root ? root != self->root && PyUnicode_Compare(root, self->root) != 0
                          : PyUnicode_GetLength(self->root) != 0;
    if (!route || !method || !PyUnicode_CheckExact(method) || is_mounted)
        return NULL; /* no route, or mounted: the same route may be mounted in several places */
    PyObject *kept = lookup(self->scope, str_fastapi);
    if (kept && PyDict_Check(kept))
        context = lookup(kept, str_effective_route_context);
    PyObject *fields = SLOT(self->op, ActiveOperation_fields), *client = lookup(fields, str_client);
    PyObject *answers = SLOT(self->endpoints, Endpoints_answers);
    if (!answers || Py_TYPE(answers) != Answers)
        return NULL;
    const Answer sought = {route, context, method, client, self->status, NULL};
    PyObject *prepared = find_answer(answers, &sought);
    if (!prepared) {
        /* Owned while Python code runs, which may replace what is in the scope. */
        Py_INCREF(answers);
        Py_INCREF(route);
        Py_XINCREF(context);
        Py_INCREF(method);
        Py_XINCREF(client);
        if ((prepared = PyObject_CallMethodNoArgs((PyObject *)self, str__prepared)))
            keep_answer(answers, &sought, prepared);
        Py_DECREF(answers);
        Py_DECREF(route);
        Py_XDECREF(context);
        Py_DECREF(method);
        Py_XDECREF(client);
    }
    return prepared;
}

static int is_plain(RequestObject *self)
{
    PyObject *op = self->op, *fields = SLOT(op, ActiveOperation_fields);
    return !self->first_ns && 100 <= self->status && self->status < 500 && PyDict_CheckExact(self->scope) &&
           SLOT(op, ActiveOperation_extra) == Py_None && PyDict_CheckExact(fields) &&
           PyDict_GET_SIZE(fields) == (lookup(fields, str_client) != NULL) && SLOT(op, ActiveOperation_token) == Py_None;
}

/* Record it; the operation's own values are set too: the host may set more, which sends it again. */
static int end_plain(RequestObject *self, int64_t end_ns)
{
    PyObject *op = self->op, *prepared = prepared_of(self);
    if (!prepared)
        return PyErr_Occurred() ? -1 : OTHERWISE;
    PyObject *extra = PyDict_Copy(SLOT(prepared, Prepared_attributes)), *around = context_get(defaults);
    PyObject *size = PyLong_FromLongLong(self->size), *status = PyLong_FromLong(self->status);
    int is_ready = extra && around && size && status &&
                   PyDict_SetItem(extra, SLOT(prepared, Prepared_count_name), size) == 0 &&
                   PyDict_SetItem(SLOT(op, ActiveOperation_fields), str_http_status, status) == 0;
    Py_XDECREF(size);
    Py_XDECREF(status);
    if (is_ready) {
        set_slot(op, ActiveOperation_name, Py_NewRef(SLOT(prepared, Prepared_name)));
        set_slot(op, ActiveOperation_extra, extra);
        set_slot(op, ActiveOperation_defaults, around);
        set_slot(op, ActiveOperation_end_ns, PyLong_FromLongLong(end_ns));
        Times times = {PyLong_AsLongLong(SLOT(op, ActiveOperation_started_ns)),
                       PyLong_AsLongLong(SLOT(op, ActiveOperation_start_ns)), end_ns};
        record(prepared, SLOT(op, ActiveOperation_trace), SLOT(op, ActiveOperation_span),
               SLOT(op, ActiveOperation_parent), times, self->size, "api");
    } else {
        Py_XDECREF(extra);
        Py_XDECREF(around);
    }
    Py_DECREF(prepared);
    return is_ready ? PLAIN : -1;
}

/* The last byte is out. Never leaves an exception. */
static void end(RequestObject *self)
{
    if (has_ended(self->op))
        return;
    int found = is_plain(self) ? end_plain(self, steady_ns()) : OTHERWISE;
    if (found == OTHERWISE) {
        PyObject *done = PyObject_CallMethodNoArgs((PyObject *)self, str__end);
        Py_XDECREF(done);
        found = done ? PLAIN : -1;
    }
    if (found < 0)
        report_trouble();
}

/* Whether a message is the last part of a stream; it is not passed on here then. */
static int look_at(RequestObject *self, PyObject *message)
{
    PyObject *kind = lookup(message, str_type);
    if (!kind || !PyUnicode_Check(kind))
        return 0;
    if (PyUnicode_CompareWithASCIIString(kind, "http.response.body") == 0) {
        PyObject *body = lookup(message, str_body), *more = lookup(message, str_more_body);
        Py_ssize_t length = body ? PyObject_Length(body) : 0;
        int is_more = more ? PyObject_IsTrue(more) : 0;
        if (length < 0 || is_more < 0) {
            report_trouble();
            return 0;
        }
        self->size += length;
        if (is_more) {
            if (!self->first_ns)
                self->first_ns = steady_ns();
        } else if (self->first_ns)
            return 1;
        else
            end(self); /* all of it in one part, which the server takes without waiting */
    } else if (PyUnicode_CompareWithASCIIString(kind, "http.response.start") == 0) {
        PyObject *status = lookup(message, str_status);
        long told = status ? PyLong_AsLong(status) : -1;
        if (told == -1 && PyErr_Occurred())
            report_trouble();
        else
            self->status = told;
    }
    return 0;
}

PyDoc_STRVAR(send_doc, "send($self, message, /)\n--\n\nLook at a message on its way out.");

static PyObject *request_send(RequestObject *self, PyObject *message)
{
    if (!self->op) /* cleared by the garbage collector, or never made */
        return PyErr_Format(PyExc_RuntimeError, "the request is over");
    PyObject *seen = PyDict_Check(message) ? Py_NewRef(message) : PyDict_New();
    if (seen && seen != message && PyDict_Update(seen, message) < 0)
        Py_CLEAR(seen);
    int is_last = 0;
    if (seen)
        is_last = look_at(self, seen);
    else
        report_trouble();
    Py_XDECREF(seen);
    return is_last ? PyObject_CallMethodOneArg((PyObject *)self, str__last, message)
                   : PyObject_CallOneArg(self->send, message);
}

PyDoc_STRVAR(left_doc, "left($self, /)\n--\n\nThe application is done.");

static PyObject *request_left(RequestObject *self, PyObject *none)
{
    if (self->op)
        end(self);
    if (self->token && self->token != Py_None) {
        if (PyContextVar_Reset(current, self->token) < 0)
            PyErr_Clear(); /* left in another context than it was entered in */
        Py_CLEAR(self->token);
    }
    Py_RETURN_NONE;
}

static int request_traverse(RequestObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->scope);
    Py_VISIT(self->endpoints);
    Py_VISIT(self->outer);
    Py_VISIT(self->send);
    Py_VISIT(self->op);
    Py_VISIT(self->token);
    return 0;
}

static int request_clear(RequestObject *self)
{
    Py_CLEAR(self->scope);
    Py_CLEAR(self->endpoints);
    Py_CLEAR(self->outer);
    Py_CLEAR(self->send);
    Py_CLEAR(self->root);
    Py_CLEAR(self->op);
    Py_CLEAR(self->token);
    return 0;
}

static void request_dealloc(RequestObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    request_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

#define MEMBER(name, type, flags) {"_" #name, type, offsetof(RequestObject, name), flags, NULL}
static PyMemberDef request_members[] = {
    MEMBER(scope, T_OBJECT_EX, READONLY), MEMBER(endpoints, T_OBJECT_EX, READONLY),
    MEMBER(outer, T_OBJECT_EX, READONLY), MEMBER(send, T_OBJECT_EX, READONLY),
    MEMBER(root, T_OBJECT_EX, READONLY),  MEMBER(op, T_OBJECT_EX, READONLY),
    MEMBER(token, T_OBJECT, 0),           MEMBER(status, T_LONG, 0),
    MEMBER(size, T_LONGLONG, 0),          MEMBER(first_ns, T_LONGLONG, 0),
    {NULL},
};
static PyMethodDef request_methods[] = {
    {"send", (PyCFunction)request_send, METH_O, send_doc},
    {"left", (PyCFunction)request_left, METH_NOARGS, left_doc},
    {NULL},
};
static PyType_Slot request_slots[] = {
    {Py_tp_doc, "One request; what is rare about it is its Python subclass's."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, request_init},
    {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_members, request_members},
    {0, NULL},
};
PyType_Spec request_spec = {"ralex_core.collection._compiled.Request", sizeof(RequestObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, request_slots};
