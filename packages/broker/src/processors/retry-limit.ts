/** From 3.4.9 on the retry limit that a client sends counts instead of its group's. */
export const VERSION_WITH_OWN_RETRY_LIMIT = 121
