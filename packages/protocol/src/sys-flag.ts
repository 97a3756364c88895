/**
 * The bits of a record's sysFlag.
 *
 * Source: org.apache.rocketmq.common.sysflag.MessageSysFlag.
 */
export const MessageSysFlag = {
  COMPRESSED: 0x1,
  MULTI_TAGS: 0x2,
  TRANSACTION_NONE: 0,
  TRANSACTION_PREPARED: 0x4,
  TRANSACTION_COMMIT: 0x8,
  TRANSACTION_ROLLBACK: 0xc,
  /** bornHost takes 20 bytes. */
  BORN_HOST_IPV6: 0x10,
  /** storeHost takes 20 bytes. */
  STORE_HOST_IPV6: 0x20,
  NEED_UNWRAP: 0x40,
  INNER_BATCH: 0x80,
  COMPRESSION_LZ4: 0x100,
  COMPRESSION_ZSTD: 0x200,
  COMPRESSION_ZLIB: 0x300,
} as const

const TRANSACTION_MASK = 0xc
const COMPRESSION_MASK = 0x700

/** @returns TRANSACTION_NONE, _PREPARED, _COMMIT or _ROLLBACK. */
export function transactionType(sysFlag: number): number {
  return sysFlag & TRANSACTION_MASK
}

/** @returns `sysFlag` with its transaction bits replaced. */
export function withTransactionType(sysFlag: number, type: number): number {
  return (sysFlag & ~TRANSACTION_MASK) | type
}

/** Whether a record with this flag gets a ConsumeQueue entry: prepared and rolled back ones do not. */
export function isQueued(sysFlag: number): boolean {
  const type = sysFlag & TRANSACTION_MASK
  return type === MessageSysFlag.TRANSACTION_NONE || type === MessageSysFlag.TRANSACTION_COMMIT
}

/** @returns the bits that tell whether and how the body is compressed, without the others. */
export function compressionBits(sysFlag: number): number {
  return sysFlag & (MessageSysFlag.COMPRESSED | COMPRESSION_MASK)
}

/** How the body is compressed. Old clients leave the type bits 0: that is zlib, too. */
export function compressionOf(sysFlag: number): 'none' | 'lz4' | 'zstd' | 'zlib' | 'unknown' {
  if ((sysFlag & MessageSysFlag.COMPRESSED) === 0) return 'none'
  switch (sysFlag & COMPRESSION_MASK) {
    case 0:
    case MessageSysFlag.COMPRESSION_ZLIB:
      return 'zlib'
    case MessageSysFlag.COMPRESSION_LZ4:
      return 'lz4'
    case MessageSysFlag.COMPRESSION_ZSTD:
      return 'zstd'
    default:
      return 'unknown'
  }
}
