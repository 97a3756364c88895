/** What a topic or a broker permits; the bits are those on the wire. Source: org.apache.rocketmq.common.constant.PermName. */
export const Permission = {
  INHERIT: 1,
  WRITE: 2,
  READ: 4,
  PRIORITY: 8,
} as const

export function isReadable(perm: number): boolean {
  return (perm & Permission.READ) !== 0
}

export function isWritable(perm: number): boolean {
  return (perm & Permission.WRITE) !== 0
}

/** Whether topics made for an unknown name may take their settings from this one. */
export function isInherited(perm: number): boolean {
  return (perm & Permission.INHERIT) !== 0
}
