from common.openmp import let_waiting_threads_sleep

let_waiting_threads_sleep()  # before a test module loads torch: tests share their cores with each other
