#include "runtime/training/interrupt.h"

namespace moru {

volatile std::sig_atomic_t InterruptGuard::arrived_ = 0;

void InterruptGuard::handle(int number) { arrived_ = number; }

InterruptGuard::InterruptGuard() : former_interrupt_{}, former_terminate_{} {
  arrived_ = 0;
  struct sigaction action = {};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, nullptr, &former_interrupt_);
  sigaction(SIGTERM, nullptr, &former_terminate_);
  if (former_interrupt_.sa_handler != SIG_IGN) sigaction(SIGINT, &action, nullptr);
  if (former_terminate_.sa_handler != SIG_IGN) sigaction(SIGTERM, &action, nullptr);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &former_interrupt_, nullptr);
  sigaction(SIGTERM, &former_terminate_, nullptr);
  arrived_ = 0;
}

}  // namespace moru
