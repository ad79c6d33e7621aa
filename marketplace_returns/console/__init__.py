"""The web console: the same work that the command line does, as pages for people who share one installation.

Here: log-in, pages and forms. Not here: any rule of an exception, a month or a write; every act calls the function that the command
line calls, with the account's name as who did it.

**Adding a page.** A module in ``pages/`` holds ``PAGES``, a tuple of ``Page``, and is named in ``pages/__init__.py``; its
templates lie in ``templates/`` and extend ``base.html``::

    def show(visit: Visit) -> Response:                     # GET: reads, never writes
        return visit.render("things.html", things=visit.ledger.cursors("asos_uk"))

    def rename(visit: Visit) -> Response:                   # POST: acts, then sends the browser on
        visit.ledger.some_act(visit.number("thing_id"), by=visit.by, note=visit.said("note", "the reason"))
        return visit.go("/things", "The thing is renamed.")

    PAGES = (
        Page("/things", Permission.SEE_QUEUE, show=show, title="Things"),      # with a title it is in the navigation
        Page("/things/{thing_id:int}/rename", Permission.WORK_QUEUE, act=rename),
        Page("/orders", Permission.LOOK_UP, show=look_up, title="Orders", needs_lake=True),
    )

- A page declares its ``Permission``; ``roles.MAY`` says which role has it. The frame refuses everybody else (403) and sends who is not
  logged in to the log-in page; a page checks nothing itself, but may ask ``visit.may(...)`` to leave out a button.
- What belongs to a department, a row of a mapping table or a check, is asked for by ``visit.check_own(owner, what=...)``: ``roles.DEPARTMENTS``
  says whose work a role does.
- A page that takes the longer the larger the shop is says ``is_slow`` and is made beside (``waiting``); ``kept`` shows at once what was made lately.
- The functions are plain (not async) and run in threads. ``visit.ledger`` is shared and safe. ``visit.app`` is an opened installation
  with a lake connection of that thread's own, only where ``needs_lake`` is set; a page that needs none must not ask for it.
- ``visit.query``, ``visit.form`` and ``visit.place`` (path parameters) are the request's texts; ``visit.said(name, what)`` gives one that
  must not be empty, ``visit.number(name)`` a whole number, ``visit.chosen(name)`` all values of a repeated field.
- A form in a template: ``<form method="post" action="..."> {{ guard() }} ... </form>``. ``guard`` writes the CSRF token and a number by
  which a form that is sent twice acts once. A form without it is refused.
- A mistake of the person is raised as BadArgument (400) with one sentence; ``NotThere`` is a 404, ``Overtaken`` and PeriodLocked a 409,
  LedgerBusy and LakeBusy a 503. All become a page.
- Money, instants and ages are written by the filters ``money``, ``moment`` and ``age``; personal data by ``masking.shown(text, visit.role)``.
- Templates know ``visit``, ``may``, ``guard`` and ``Permission``. No script, no inline style: the Content-Security-Policy refuses both.
"""
