// Interruption and lost mappings.
//
// SIGINT and SIGTERM ask the work to stop: Progress callbacks see interrupted() and everything is
// cleaned up on the way out. Work that does not listen (it waits for a pipe) is ended after a few
// seconds, or at once by a second signal; SIGBUS, which a mapped file raises when somebody shortens
// it, ends it too. In these cases the handler removes unfinished output files itself.
#pragma once

namespace pith::command {

void install_signal_handlers();
// The signal that asked to stop, or 0.
int interrupted();
// Ends the process as a program does that SIGPIPE kills: nobody reads our output any more.
[[noreturn]] void die_of_broken_pipe();

}  // namespace pith::command
