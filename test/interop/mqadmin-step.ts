/** One command of mqadmin and what it must print, and what there is when the commands run. */

export interface SentMessage {
  readonly uniqueId: string
  readonly offsetId: string
  readonly queueId: number
  readonly queueOffset: number
  readonly key: string
}

/** What there is when the commands run: a topic with messages, its consumer group online and at its end, a producer. */
export interface World {
  readonly version: string
  readonly namesrv: string
  readonly cluster: string
  readonly brokerName: string
  /** Of the leader. */
  readonly brokerAddr: string
  /** Of all members. */
  readonly brokerAddrs: readonly string[]
  readonly topic: string
  readonly group: string
  readonly producerGroup: string
  readonly messages: readonly SentMessage[]
  /** On which the first of them was sent, by the clock of this machine. */
  readonly day: string
  /** A directory for what a command writes. */
  readonly directory: string
}

export interface Step {
  readonly name: string
  /** What mqadmin is given, but for the name server; null where this version has no such command. */
  readonly args: (world: World) => readonly string[] | null
  /** @returns what is wrong with what it printed; undefined for nothing. */
  readonly wrong: (output: string, world: World) => string | undefined
  /** Standard error is not looked at: the command itself tells there of what is no failure. */
  readonly allowsErrors?: boolean
}

/** @returns a message for the first of the texts or patterns that the output does not have. */
export function lacks(output: string, ...facts: readonly (string | RegExp)[]): string | undefined {
  const missing = facts.find((fact) => (typeof fact === 'string' ? !output.includes(fact) : !fact.test(output)))
  return missing === undefined ? undefined : `it does not print ${String(missing)}`
}

/** The words of the lines that have this text. */
export function rowsOf(output: string, text: string): string[][] {
  return output
    .split('\n')
    .filter((line) => line.includes(text))
    .map((line) => line.trim().split(/\s+/))
}

/** As Java prints one: no word that merely has it in it, like a property's name. */
export function printsException(output: string): boolean {
  return /\b[A-Z]\w*Exception\b|\bat org\.apache\./.test(output)
}
