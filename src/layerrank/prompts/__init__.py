"""Texts to tokens with exact spans: prompt families, framework prompts, chat templates."""
