"""A small bot on discord.py, the second client that must get on with the server of the tests.

Arguments: the server's address (host:port), the token, the guild. Everything it does is what its library does on its
own: log in, sync commands, answer a command, a button, an autocompletion and a modal, defer and follow up.
"""

import logging
import sys

import discord
import yarl
from discord import app_commands

ADDRESS, TOKEN, GUILD = sys.argv[1:4]
NOBODY = discord.AllowedMentions.none()

discord.http.Route.BASE = f"http://{ADDRESS}/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://{ADDRESS}/")


class Reason(discord.ui.Modal, title="Why?"):
    reason = discord.ui.TextInput(label="Reason", style=discord.TextStyle.paragraph, max_length=300)

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"Because: {self.reason.value}", allowed_mentions=NOBODY)


class Buttons(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="Roll back", style=discord.ButtonStyle.danger, custom_id="roll:1")
    async def roll(self, interaction, _button):
        await interaction.response.edit_message(content="Rolling back", view=None, allowed_mentions=NOBODY)
        card = discord.Embed(title="Release 44").add_field(name="shop", value="1.8.2 → 1.8.1")
        message = await interaction.channel.send(embed=card, allowed_mentions=NOBODY, nonce="44-card")
        thread = await message.create_thread(name="Release 44")
        await thread.send("wave 1", allowed_mentions=NOBODY)
        await message.edit(content="live", allowed_mentions=NOBODY)

    @discord.ui.button(label="Why", custom_id="why")
    async def why(self, interaction, _button):
        await interaction.response.send_modal(Reason())


class Peer(discord.Client):
    def __init__(self):
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self):
        guild = discord.Object(int(GUILD))
        for command in (rollback, slow):
            self.tree.add_command(command, guild=guild)
        self.add_view(Buttons())
        await self.tree.sync(guild=guild)

    async def on_ready(self):
        guild = self.get_guild(int(GUILD))
        print("ready", guild.name, [channel.name for channel in guild.text_channels], flush=True)

    async def on_resumed(self):
        print("resumed", flush=True)


@app_commands.command(description="Go back")
async def rollback(interaction: discord.Interaction, stack: str):
    await interaction.response.send_message(f"Roll back {stack}?", view=Buttons(), ephemeral=True, allowed_mentions=NOBODY)


@rollback.autocomplete("stack")
async def stacks(_interaction: discord.Interaction, current: str):
    return [app_commands.Choice(name=f"{current} · 3 h ago", value=f"{current}-id")]


@app_commands.command(description="Takes its time")
async def slow(interaction: discord.Interaction):
    await interaction.response.defer(ephemeral=True)
    await interaction.edit_original_response(content="done", allowed_mentions=NOBODY)
    await interaction.followup.send("and more", ephemeral=True, allowed_mentions=NOBODY)


if __name__ == "__main__":
    Peer().run(TOKEN, log_level=logging.INFO)
