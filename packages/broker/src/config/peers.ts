/**
 * `dLegerPeers`: `ID-HOST:PORT;…`. The id ends at the first `-`, the host at the last `:`, so hosts may hold both.
 *
 * An id is letters and a number (`n0`); the number + 1 is the broker id of that member while it follows.
 */
export interface Peer {
  readonly id: string
  readonly host: string
  readonly port: number
}

const MEMBER_ID = /^[A-Za-z_]*(\d{1,9})$/

/** @returns the peers, or what is wrong with the text. */
export function parsePeers(text: string): readonly Peer[] | string {
  const peers: Peer[] = []
  for (const part of text.split(';')) {
    const item = part.trim()
    if (item === '') continue
    const peer = parsePeer(item)
    if (typeof peer === 'string') return peer
    const twin = peers.find((other) => memberNumber(other.id) === memberNumber(peer.id))
    if (twin !== undefined) return `'${item}' has the same number as ${twin.id}`
    if (peers.some((other) => other.host === peer.host && other.port === peer.port)) {
      return `'${item}' has the address of another member`
    }
    peers.push(peer)
  }
  return peers
}

function parsePeer(item: string): Peer | string {
  const idEnd = item.indexOf('-')
  const hostEnd = item.lastIndexOf(':')
  if (idEnd <= 0 || hostEnd <= idEnd + 1) return `'${item}' is not ID-HOST:PORT`
  const id = item.slice(0, idEnd)
  const port = Number(item.slice(hostEnd + 1))
  if (!MEMBER_ID.test(id)) return `the id '${id}' is not letters and a number, like n0`
  if (!/^\d+$/.test(item.slice(hostEnd + 1)) || port < 1 || port > 65535) return `'${item}' has no port from 1 to 65535`
  return { id, host: item.slice(idEnd + 1, hostEnd), port }
}

/** The number in a member's id, or -1 when it is no member id. */
export function memberNumber(id: string): number {
  const match = MEMBER_ID.exec(id)
  return match === null ? -1 : Number(match[1])
}
