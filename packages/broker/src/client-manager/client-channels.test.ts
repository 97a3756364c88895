import { describe, expect, it } from 'vitest'
import { ClientChannels } from './client-channels.ts'

describe('the connection of a client id', () => {
  it('is the one that said so last', () => {
    const channels = new ClientChannels<string>()
    channels.saw('c1', 'first')
    channels.saw('c1', 'second')
    channels.closed('first')
    expect(channels.channelOf('c1')).toBe('second')
    channels.closed('second')
    expect(channels.channelOf('c1')).toBeUndefined()
    expect(channels.size).toBe(0)
  })

  it('does not grow with what one connection says it is', () => {
    const channels = new ClientChannels<string>()
    for (let i = 0; i < 1_000; i++) channels.saw(`c${i}`, 'one')
    expect(channels.size).toBe(16)
    expect(channels.channelOf('c999')).toBe('one')
    channels.closed('one')
    expect(channels.size).toBe(0)
  })
})
