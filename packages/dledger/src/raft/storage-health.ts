/** What a member says of its own storage and state: a small bit set, 0 while nothing is wrong. It travels in every HeartbeatResponse. */
export const StorageHealth = {
  /** A write, sync or read has been under way for longer than an election timeout. */
  SLOW: 1,
  /** There is no room for data; entries of the log's own may still fit. */
  FULL: 2,
  /** Entries that were once there cannot be read. */
  TAINTED: 4,
  /** It has much of the log to apply: as leader it would not be ready for long. */
  BEHIND: 8,
} as const

/** Bits that a newer version may add are kept, and count as something that is wrong. */
export const STORAGE_HEALTH_MAX = 255
