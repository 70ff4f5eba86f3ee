#include "compiled.h"

/* What an application's requests were prepared as, by route, method, status and client: few, hence found at their place
 * in a small table or made anew. */

#define PLACES 256

typedef struct {
    PyObject_HEAD
    Answer answers[PLACES];
} AnswersObject;

static Answer *place_of(PyObject *self, const Answer *sought)
{
    uintptr_t mixed = (uintptr_t)sought->route / 16 * 31 + (uintptr_t)sought->context / 16 * 17 +
                      (uintptr_t)PyObject_Hash(sought->method) * 7 + (uintptr_t)sought->client / 16 * 3 +
                      (uintptr_t)sought->status;
    return ((AnswersObject *)self)->answers + mixed % PLACES;
}

PyObject *find_answer(PyObject *self, const Answer *sought)
{
    const Answer *found = place_of(self, sought);
    int is_it = found->prepared && found->route == sought->route && found->context == sought->context &&
                found->client == sought->client && found->status == sought->status &&
                PyUnicode_Compare(found->method, sought->method) == 0;
    return is_it ? Py_NewRef(found->prepared) : NULL;
}

static void clear_answer(Answer *answer)
{
    Answer before = *answer;
    *answer = (Answer){0};
    Py_XDECREF(before.route);
    Py_XDECREF(before.context);
    Py_XDECREF(before.method);
    Py_XDECREF(before.client);
    Py_XDECREF(before.prepared);
}

void keep_answer(PyObject *self, const Answer *sought, PyObject *prepared)
{
    Answer *place = place_of(self, sought), before = *place;
    *place = (Answer){Py_NewRef(sought->route),  Py_XNewRef(sought->context), Py_NewRef(sought->method),
                      Py_XNewRef(sought->client), sought->status,              Py_NewRef(prepared)};
    clear_answer(&before);
}

static int answers_traverse(AnswersObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < PLACES; i++) {
        Py_VISIT(self->answers[i].route);
        Py_VISIT(self->answers[i].context);
        Py_VISIT(self->answers[i].method);
        Py_VISIT(self->answers[i].client);
        Py_VISIT(self->answers[i].prepared);
    }
    return 0;
}

static int answers_clear(AnswersObject *self)
{
    for (int i = 0; i < PLACES; i++)
        clear_answer(self->answers + i);
    return 0;
}

static void answers_dealloc(AnswersObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    answers_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyType_Slot answers_slots[] = {
    {Py_tp_doc, "What an application's requests were prepared as."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, answers_traverse},
    {Py_tp_clear, answers_clear},
    {Py_tp_dealloc, answers_dealloc},
    {0, NULL},
};
PyType_Spec answers_spec = {"ralex_core.collection._compiled.Answers", sizeof(AnswersObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, answers_slots};

