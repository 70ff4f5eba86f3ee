/* sqlite3's connections and cursors with their statements and fetches timed. */

#include "compiled.h"

/* What a cursor has behind sqlite3's own fields */
typedef struct {
    PyObject *watch; /* of its connection; NULL until looked for */
    PyObject *known; /* of the statement under way, NULL when there is none */
    PyObject *text, *trace, *span, *parent;
    int64_t start_ns, spent_ns, rows;
} Query;

static Py_ssize_t query_offset, watch_offset, description_offset;
#define QUERY(cursor) ((Query *)((char *)(cursor) + query_offset))
#define WATCH(connection) (*(PyObject **)((char *)(connection) + watch_offset))

/* Methods of sqlite3's classes */
static PyTypeObject *Cursor, *BaseCursor, *BaseConnection;
static PyObject *base_execute, *base_fetchone, *base_fetchall, *base_fetchmany, *base_close, *base_cursor;
static PyObject *str_ralex_watch, *str_connection, *plain_cursor;

/* Take the query under way out of its cursor, which Python code that records it may use for another one. */
static Query taken(Query *query)
{
    Query own = *query;
    Py_INCREF(own.watch);
    query->known = query->text = query->trace = query->span = query->parent = NULL;
    return own;
}

/* Let go of a query that was taken. */
static void forget(Query *query)
{
    Py_CLEAR(query->watch);
    Py_CLEAR(query->known);
    Py_CLEAR(query->text);
    Py_CLEAR(query->trace);
    Py_CLEAR(query->span);
    Py_CLEAR(query->parent);
}

static int is_true(PyObject *value)
{
    return value == Py_True;
}

/* Whether statements are to be recorded: not when the instrument, or one above it is on that records the same. */
static int is_watching(PyObject *watch)
{
    if (!watch || Py_TYPE(watch) != Watch)
        return 0;
    PyObject *elsewhere = SLOT(watch, Watch_elsewhere);
    return is_true(SLOT(SLOT(watch, Watch_switch), Switch_on)) &&
           (!elsewhere || elsewhere == Py_None || !is_true(SLOT(elsewhere, Switch_on)));
}

static PyObject *watch_of(PyObject *cursor)
{
    Query *query = QUERY(cursor);
    if (!query->watch) {
        PyObject *connection = PyObject_GetAttr(cursor, str_connection);
        query->watch = connection ? PyObject_GetAttr(connection, str_ralex_watch) : NULL;
        Py_XDECREF(connection);
        PyErr_Clear();
        if (query->watch == Py_None) /* it may still get one */
            Py_CLEAR(query->watch);
    }
    return query->watch;
}

/* Returns whether a query has begun; never leaves an exception. */
static int begin(Query *query, PyObject *statement)
{
    PyObject *text = PyUnicode_Check(statement) ? Py_NewRef(statement) : PyObject_CallOneArg(text_of, statement);
    if (!text) {
        report_trouble();
        return 0;
    }
    PyObject *database = SLOT(query->watch, Watch_database), *above = NULL;
    PyObject *known = PyDict_GetItemWithError(SLOT(database, Database_known), text);
    Py_XINCREF(known);
    if (!known && (PyErr_Occurred() || !(known = PyObject_CallMethodOneArg(database, str_statement, text))))
        goto failed;
    above = context_get(current);
    if (!above)
        goto failed;
    if (Py_TYPE(above) == ActiveOperation && SLOT(above, ActiveOperation_trace) && SLOT(above, ActiveOperation_span)) {
        query->span = next_number();
        if (!query->span)
            goto failed;
        query->trace = Py_NewRef(SLOT(above, ActiveOperation_trace));
        query->parent = Py_NewRef(SLOT(above, ActiveOperation_span));
    } else {
        PyObject *placed = PyObject_CallOneArg(place, above);
        if (!placed || !PyArg_ParseTuple(placed, "OOO", &query->trace, &query->span, &query->parent)) {
            query->trace = query->span = query->parent = NULL;
            Py_XDECREF(placed);
            goto failed;
        }
        Py_INCREF(query->trace);
        Py_INCREF(query->span);
        Py_INCREF(query->parent);
        Py_DECREF(placed);
    }
    Py_DECREF(above);
    query->known = known;
    query->text = text;
    query->spent_ns = query->rows = 0;
    query->start_ns = steady_ns();
    return 1;

failed:
    Py_CLEAR(query->trace);
    Py_CLEAR(query->span);
    Py_CLEAR(query->parent);
    Py_DECREF(text);
    Py_XDECREF(known);
    Py_XDECREF(above);
    report_trouble();
    return 0;
}

/* The query as an object of `queries.Query`, for what is rare; NULL with an exception. */
static PyObject *as_object(Query *query)
{
    return PyObject_CallFunction(resumed, "OOOOOOLLL", query->watch, query->known, query->text, query->trace,
                                 query->span, query->parent, (long long)query->start_ns, (long long)query->spent_ns,
                                 (long long)query->rows);
}

/* Record it as failed with the exception that is set, and leave that set. */
static void failed(PyObject *cursor, int64_t since_ns)
{
    if (!QUERY(cursor)->known)
        return;
    Query query = taken(QUERY(cursor));
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *object = as_object(&query);
    PyObject *done = object ? PyObject_CallMethod(object, "failed", "OL", error, (long long)since_ns) : NULL;
    if (!done)
        report_trouble();
    Py_XDECREF(object);
    Py_XDECREF(done);
    forget(&query);
    PyErr_Restore(type, error, traceback);
}

static int is_slow(Query *query)
{
    int64_t slow_ns = PyLong_AsLongLong(SLOT(query->watch, Watch_slow_ns));
    if (slow_ns == -1 && PyErr_Occurred())
        PyErr_Clear();
    return query->spent_ns >= slow_ns;
}

/* Record it: `count` rows were returned, or changed; -1 where the driver cannot tell how many. */
static void ended(Query *of_cursor, Py_ssize_t prepared, const char *method, int64_t count)
{
    Query query = taken(of_cursor);
    if (is_slow(&query)) {
        PyObject *object = as_object(&query);
        PyObject *done = !object                ? NULL
                         : prepared == Known_returned ? PyObject_CallMethod(object, method, NULL)
                                                      : PyObject_CallMethod(object, method, "L", (long long)count);
        if (!done)
            report_trouble();
        Py_XDECREF(object);
        Py_XDECREF(done);
    } else
        record(SLOT(query.known, prepared), query.trace, query.span, query.parent,
               (Times){0, query.start_ns, query.start_ns + query.spent_ns}, count < 0 ? NO_COUNT : count, "db");
    forget(&query);
}

static void returned(Query *query)
{
    ended(query, Known_returned, "returned", query->rows);
}

static void done(Query *query)
{
    if (query->known)
        returned(query);
}

/* The cursor's methods */

static PyObject *cursor_execute(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Query *query = QUERY(self);
    PyObject *given[3] = {self, count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL};
    done(query);
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError, "execute expected 1 or 2 arguments, got %zd", count);
        return NULL;
    }
    if (!is_watching(watch_of(self)) || !begin(query, args[0]))
        return PyObject_Vectorcall(base_execute, given, count + 1, NULL);
    PyObject *result = PyObject_Vectorcall(base_execute, given, count + 1, NULL);
    if (!result) {
        failed(self, 0);
        return NULL;
    }
    if (!query->known)
        return result; /* an adapter of the program's used the cursor meanwhile */
    query->spent_ns = steady_ns() - query->start_ns;
    PyObject *description = SLOT(self, description_offset);
    if (!description || description == Py_None) {
        PyObject *changed = PyObject_GetAttr(self, str_rowcount);
        int64_t rows = changed ? PyLong_AsLongLong(changed) : -1;
        PyErr_Clear();
        Py_XDECREF(changed);
        ended(query, Known_affected, "changed", rows);
    }
    return result;
}

static PyObject *cursor_fetchall(PyObject *self, PyObject *none)
{
    Query *query = QUERY(self);
    if (!query->known)
        return PyObject_Vectorcall(base_fetchall, &self, 1, NULL);
    int64_t began = steady_ns();
    PyObject *rows = PyObject_Vectorcall(base_fetchall, &self, 1, NULL);
    if (!rows)
        failed(self, began);
    else if (query->known) {
        query->spent_ns += steady_ns() - began;
        query->rows += PyList_GET_SIZE(rows);
        returned(query);
    }
    return rows;
}

static PyObject *cursor_fetchone(PyObject *self, PyObject *none)
{
    Query *query = QUERY(self);
    if (!query->known)
        return PyObject_Vectorcall(base_fetchone, &self, 1, NULL);
    int64_t began = steady_ns();
    PyObject *row = PyObject_Vectorcall(base_fetchone, &self, 1, NULL);
    if (!row)
        failed(self, began);
    else if (query->known) {
        query->spent_ns += steady_ns() - began;
        if (row == Py_None)
            returned(query);
        else
            query->rows++;
    }
    return row;
}

static PyObject *cursor_fetchmany(PyObject *self, PyObject *args, PyObject *kwargs)
{
    Query *query = QUERY(self);
    PyObject *bound = PyObject_CallFunction((PyObject *)&PyMethod_Type, "OO", base_fetchmany, self);
    if (!bound)
        return NULL;
    int64_t began = steady_ns();
    PyObject *rows = PyObject_Call(bound, args, kwargs);
    Py_DECREF(bound);
    if (!rows)
        failed(self, began);
    else if (query->known) {
        query->spent_ns += steady_ns() - began;
        query->rows += PyList_GET_SIZE(rows);
        if (!PyList_GET_SIZE(rows))
            returned(query);
    }
    return rows;
}

static PyObject *cursor_next(PyObject *self)
{
    Query *query = QUERY(self);
    if (!query->known)
        return BaseCursor->tp_iternext(self);
    int64_t began = steady_ns();
    PyObject *row = BaseCursor->tp_iternext(self);
    if (row && query->known) {
        query->spent_ns += steady_ns() - began;
        query->rows++;
    } else if (!row && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_StopIteration))
        failed(self, began);
    else if (!row && query->known) {
        PyObject *type, *error, *traceback; /* a row factory may have raised StopIteration */
        PyErr_Fetch(&type, &error, &traceback);
        query->spent_ns += steady_ns() - began;
        returned(query);
        PyErr_Restore(type, error, traceback);
    }
    return row;
}

static PyObject *cursor_close(PyObject *self, PyObject *none)
{
    done(QUERY(self));
    return PyObject_Vectorcall(base_close, &self, 1, NULL);
}

static PyObject *cursor_done(PyObject *self, PyObject *none)
{
    done(QUERY(self));
    Py_RETURN_NONE;
}

static int cursor_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    done(QUERY(self));
    Py_CLEAR(QUERY(self)->watch); /* of a connection it may have had before */
    return BaseCursor->tp_init(self, args, kwargs);
}

static int cursor_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(QUERY(self)->watch);
    return BaseCursor->tp_traverse(self, visit, arg);
}

static int cursor_clear(PyObject *self)
{
    done(QUERY(self));
    Py_CLEAR(QUERY(self)->watch);
    return BaseCursor->tp_clear(self);
}

static void cursor_dealloc(PyObject *self)
{
    Query *query = QUERY(self);
    PyObject_GC_UnTrack(self); /* what follows may let the collector run */
    if (query->known) { /* rows it has that nobody wanted */
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        returned(query);
        PyErr_Restore(type, error, traceback);
    }
    Py_CLEAR(query->watch);
    BaseCursor->tp_dealloc(self); /* lets go of the type too */
}

static PyMethodDef cursor_methods[] = {
    {"execute", (PyCFunction)(void (*)(void))cursor_execute, METH_FASTCALL, "Executes an SQL statement."},
    {"fetchall", cursor_fetchall, METH_NOARGS, "Fetches all rows from the resultset."},
    {"fetchone", cursor_fetchone, METH_NOARGS, "Fetches one row from the resultset."},
    {"fetchmany", (PyCFunction)(void (*)(void))cursor_fetchmany, METH_VARARGS | METH_KEYWORDS,
     "Fetches several rows from the resultset."},
    {"close", cursor_close, METH_NOARGS, "Closes the cursor."},
    {"_done", cursor_done, METH_NOARGS, "Record what is under way: something else begins."},
    {NULL},
};
static PyType_Slot cursor_slots[] = {
    {Py_tp_methods, cursor_methods},   {Py_tp_iternext, cursor_next}, {Py_tp_init, cursor_init},
    {Py_tp_traverse, cursor_traverse}, {Py_tp_clear, cursor_clear},   {Py_tp_dealloc, cursor_dealloc},
    {0, NULL},
};

/* The connection's */

static PyObject *connection_execute(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *given[2] = {self, plain_cursor};
    PyObject *cursor = PyObject_Vectorcall(base_cursor, given, 2, NULL);
    if (!cursor)
        return NULL;
    if (PyObject_TypeCheck(cursor, Cursor) && WATCH(self))
        Py_XSETREF(QUERY(cursor)->watch, Py_NewRef(WATCH(self)));
    PyObject *result = cursor_execute(cursor, args, count);
    Py_DECREF(cursor);
    return result;
}

static int connection_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(WATCH(self));
    return BaseConnection->tp_traverse(self, visit, arg);
}

static int connection_clear(PyObject *self)
{
    Py_CLEAR(WATCH(self));
    return BaseConnection->tp_clear(self);
}

static void connection_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(WATCH(self));
    BaseConnection->tp_dealloc(self);
}

static PyMethodDef connection_methods[] = {
    {"execute", (PyCFunction)(void (*)(void))connection_execute, METH_FASTCALL, "Executes an SQL statement."},
    {NULL},
};
static PyMemberDef connection_members[] = {{"ralex_watch", T_OBJECT, 0, 0, NULL}, {NULL}};
static PyType_Slot connection_slots[] = {
    {Py_tp_methods, connection_methods},
    {Py_tp_members, connection_members},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_dealloc, connection_dealloc},
    {0, NULL},
};

/* A subclass with `extra` bytes behind the fields of its base, whose size only the running interpreter knows. */
static PyObject *subclass(PyTypeObject *base, const char *name, Py_ssize_t extra, Py_ssize_t *offset, PyType_Slot *slots)
{
    *offset = (base->tp_basicsize + 7) & ~(Py_ssize_t)7;
    PyType_Spec spec = {name, (int)(*offset + extra), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                        slots};
    return PyType_FromSpecWithBases(&spec, (PyObject *)base);
}

PyObject *use_cursor(PyObject *module, PyObject *cursor)
{
    if (!Cursor || !PyType_Check(cursor) || !PyType_IsSubtype((PyTypeObject *)cursor, Cursor))
        return PyErr_Format(PyExc_TypeError, "%R is no subclass of ours", cursor);
    Py_XSETREF(plain_cursor, Py_NewRef(cursor));
    Py_RETURN_NONE;
}

PyObject *sqlite_classes(PyObject *module, PyObject *args)
{
    PyTypeObject *connection, *cursor;
    if (!PyArg_ParseTuple(args, "O!O!:sqlite_classes", &PyType_Type, &connection, &PyType_Type, &cursor))
        return NULL;
    if (BaseCursor)
        return PyErr_Format(PyExc_RuntimeError, "sqlite_classes makes them once");
    BaseConnection = (PyTypeObject *)Py_NewRef(connection);
    BaseCursor = (PyTypeObject *)Py_NewRef(cursor);
    if (!(str_ralex_watch = PyUnicode_InternFromString("ralex_watch")) ||
        !(str_connection = PyUnicode_InternFromString("connection")) ||
        !(base_execute = PyObject_GetAttrString((PyObject *)cursor, "execute")) ||
        !(base_fetchone = PyObject_GetAttrString((PyObject *)cursor, "fetchone")) ||
        !(base_fetchall = PyObject_GetAttrString((PyObject *)cursor, "fetchall")) ||
        !(base_fetchmany = PyObject_GetAttrString((PyObject *)cursor, "fetchmany")) ||
        !(base_close = PyObject_GetAttrString((PyObject *)cursor, "close")) ||
        !(base_cursor = PyObject_GetAttrString((PyObject *)connection, "cursor")))
        return NULL;
    if (find_slot((PyObject *)cursor, "description", &description_offset) < 0)
        return NULL;
    watch_offset = (connection->tp_basicsize + 7) & ~(Py_ssize_t)7;
    connection_members[0].offset = watch_offset;
    Cursor = (PyTypeObject *)subclass(cursor, "ralex_core.collection._compiled.Cursor", sizeof(Query), &query_offset,
                                      cursor_slots);
    PyObject *made = Cursor ? subclass(connection, "ralex_core.collection._compiled.Connection", sizeof(PyObject *),
                                       &watch_offset, connection_slots)
                            : NULL;
    return made ? Py_BuildValue("(NO)", made, Cursor) : NULL;
}
