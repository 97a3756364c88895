/** Flags that the quickstarts share. */

export function namesrvOf(flag: string | undefined): string {
  return flag ?? (process.env['NAMESRV_ADDR'] || '127.0.0.1:9876')
}

/** @throws Error that says what is allowed. */
export function wholeCount(text: string): number {
  const count = Number(text)
  if (Number.isSafeInteger(count) && count >= 1) return count
  throw new Error(`--count ${text}: allowed is a whole number from 1`)
}
