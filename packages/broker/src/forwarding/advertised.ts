/**
 * What a broker tells its fellow members about itself, over their own connections: where it serves clients, and the mark by which
 * it knows a request that one of them forwards. Clients never see the mark, so they cannot make one up.
 *
 *   127.0.0.1:30911 4f1c…
 */
export interface Advertised {
  readonly address: string
  readonly mark: string
}

export function encodeAdvertised({ address, mark }: Advertised): string {
  return `${address} ${mark}`
}

/** @returns null when the text is not of this form. */
export function decodeAdvertised(text: string): Advertised | null {
  const at = text.indexOf(' ')
  return at <= 0 || at === text.length - 1 ? null : { address: text.slice(0, at), mark: text.slice(at + 1) }
}
