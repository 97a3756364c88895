/**
 * Readers that want only some messages: what they ask for, and what of it the broker owes them.
 *
 * Keeps, and says when the broker does not: a reader with a filter is given every message of the part of the queue that it has
 * passed by then and that it wants, and nothing that it does not want. Tags are told apart by their hashes alone: one with the hash
 * of a wanted tag may come.
 */
export type Wanted = 'yes' | 'no' | 'either'

interface Filter {
  readonly type: 'TAG' | 'SQL92'
  readonly expression: string
  readonly wants: (traits: Traits) => Wanted
}

/** What a filter can see of a message. */
interface Traits {
  readonly tag: string
  readonly size: number
  readonly color: string | undefined
}

/** `Aa` and `BB` have one hash. */
const TAGS = ['A', 'Aa', 'BB', 'C'] as const

export const FILTERS: readonly Filter[] = [
  { type: 'TAG', expression: 'A || C', wants: ({ tag }) => certain(tag === 'A' || tag === 'C') },
  {
    type: 'TAG',
    expression: 'Aa',
    wants: ({ tag }) => (tag === 'BB' ? 'either' : certain(tag === 'Aa')),
  },
  { type: 'SQL92', expression: 'size < 4', wants: ({ size }) => certain(size < 4) },
  {
    type: 'SQL92',
    expression: "size BETWEEN 3 AND 6 OR TAGS = 'C'",
    wants: ({ size, tag }) => certain((size >= 3 && size <= 6) || tag === 'C'),
  },
  { type: 'SQL92', expression: "color IS NULL AND TAGS <> 'BB'", wants: (t) => certain(!t.color && t.tag !== 'BB') },
  { type: 'SQL92', expression: "color IN ('red', 'blue')", wants: (t) => certain(t.color === 'red') },
]

/** The properties that filters look at, of the message of this name. */
export function traitProperties(body: string): [string, string][] {
  const { tag, size, color } = traitsOf(body)
  const pairs: [string, string][] = [
    ['TAGS', tag],
    ['size', String(size)],
  ]
  if (color !== undefined) pairs.push(['color', color])
  return pairs
}

export function isWanted(filter: number, body: string): Wanted {
  return (FILTERS[filter] as Filter).wants(traitsOf(body))
}

export function filterOf(filter: number): Pick<Filter, 'type' | 'expression'> {
  return FILTERS[filter] as Filter
}

function traitsOf(body: string): Traits {
  const number = Number(/^m(\d+) /.exec(body)?.[1] ?? 0)
  const tag = TAGS[number % TAGS.length] as string
  return { tag, size: number % 7, color: number % 3 === 0 ? 'red' : undefined }
}

function certain(is: boolean): Wanted {
  return is ? 'yes' : 'no'
}
