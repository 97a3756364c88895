/** How large everything is: small, so that what is drawn meets. */
export const MEMBERS = 3
/** Of these the last has a topic of its own, which may be deleted. */
export const QUEUES = 3
export const TOPIC = 'T'
export const DELETABLE_TOPIC = 'U'
export const SENDERS = 2
/** Delay levels 1 to so many are used: 1, 5 and 10 seconds. */
export const DELAY_LEVELS_MS: readonly number[] = [1_000, 5_000, 10_000]
/** Bodies are padded to so many bytes where log files are to go. */
export const LARGE_BODY_BYTES = 3_500
