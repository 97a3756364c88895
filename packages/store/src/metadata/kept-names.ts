/**
 * Names that clients choose and that stand in the tables and entries of the log: of groups and topics, which may not be there, and of clients.
 *
 * Keeps: a row that is made of them is short, so that many have room in one entry; none has the character that parts keys.
 */

/** The longest topic there can be, and older clients' groups. */
const NAME_LENGTH_MAX = 255
/** An address, a process and what a program calls its instance. */
const CLIENT_ID_LENGTH_MAX = 1_024

/** Of a group or a topic. */
export function isKeptName(text: string): boolean {
  return isKept(text, NAME_LENGTH_MAX)
}

export function isKeptClientId(text: string): boolean {
  return isKept(text, CLIENT_ID_LENGTH_MAX)
}

function isKept(text: string, lengthMax: number): boolean {
  return text !== '' && text.length <= lengthMax && !text.includes('\0')
}
